"""How operations are combined: one after the other, or one of several at random."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Augment, Key, PyTree
from jaxdd.errors import InputError, nearest

__all__ = ["chain", "named_operations", "one_of", "one_of_each"]


def chain(operations: Mapping[str, Augment]) -> Augment:
    """Named operations one after the other, in the order of the dict.

    Parameters are a dict by name; without operations it is the identity.
    """

    def apply(params: PyTree, image: Array) -> Array:
        for name, op in operations.items():
            image = op.apply(params[name], image)
        return image

    return Augment(lambda key, n: _draws(operations, key, n), apply)


def one_of(operations: Mapping[str, Augment]) -> Augment:
    """One operation for the whole batch, each as likely as any other.

    Parameters: those of every operation by name, and "token": int [1].
    """

    def sample(key: Key, n: int) -> PyTree:
        key_token, key_rest = jax.random.split(key)
        token = jax.random.randint(key_token, (1,), 0, len(operations))
        return {"token": token} | _draws(operations, key_rest, n)

    def apply(params: PyTree, image: Array) -> Array:
        branches = [
            lambda image, name=name, op=op: op.apply(params[name], image)
            for name, op in operations.items()
        ]
        return jax.lax.switch(params["token"][0], branches, image)

    return Augment(sample, apply)


def one_of_each(operations: Mapping[str, Augment]) -> Augment:
    """One operation for each image, each as likely as any other.

    All are computed on all images. Parameters: those of every operation by name, and
    "token": int [n].
    """

    def sample(key: Key, n: int) -> PyTree:
        key_token, key_rest = jax.random.split(key)
        token = jax.random.randint(key_token, (n,), 0, len(operations))
        return {"token": token} | _draws(operations, key_rest, n)

    def apply(params: PyTree, image: Array) -> Array:
        token, out = params["token"][:, None, None, None], image
        for number, (name, op) in enumerate(operations.items()):
            out = jnp.where(token == number, op.apply(params[name], image), out)
        return out

    return Augment(sample, apply)


def named_operations(
    strategy: str, known: Mapping[str, Augment], policy: str
) -> dict[str, Augment]:
    """The operations that a strategy names, in its order.

    Args:
      strategy: names joined by "_".
      known: what the policy has.
      policy: its name, for the message.

    Raises:
      InputError: an unknown name (the nearest is suggested), or one that stands twice.
    """
    names = strategy.split("_")
    for name in names:
        if name not in known:
            hint = nearest(name, known)
            raise InputError(
                f"augment.strategy={strategy!r}: policy {policy!r} has no operation "
                f"{name!r}.{hint} It has {', '.join(known)}, joined by '_'"
            )
        if names.count(name) > 1:
            raise InputError(
                f"augment.strategy={strategy!r}: {name!r} stands there twice"
            )
    return {name: known[name] for name in names}


def _draws(operations: Mapping[str, Augment], key: Key, n: int) -> dict[str, PyTree]:
    keys = jax.random.split(key, max(len(operations), 1))
    return {
        name: op.sample(k, n)
        for k, (name, op) in zip(keys, operations.items(), strict=False)
    }
