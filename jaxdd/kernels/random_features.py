"""Random features: the conjugate kernel averaged over freshly drawn networks (RFAD)."""

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Key, Network, Variables
from jaxdd.errors import InputError
from jaxdd.kernels.feature import features
from jaxdd.kernels.kernel import Kernel
from jaxdd.kernels.precision import dot
from jaxdd.members import sum_of_shares

__all__ = ["draw", "feature_map", "random_features"]


def random_features(
    network: Network,
    members: int = 8,
    *,
    scale: float = 2.0,
    shift: float = 0.01,
    chunk: int | None = None,
) -> Kernel:
    """`scale phi(x).phi(x') + shift`, phi the features of all members in a row.

    phi is divided by sqrt(members M) for M features a network, so that the kernel is an
    estimate of the NNGP kernel behind a last dense layer of weight variance `scale` and
    bias variance `shift` (Loo et al., NeurIPS 2022, section 3), with an error like
    1/sqrt(members width). Costs members (n + m) passes and members n m M.

    Args:
      network: of every member.
      members: how many; a share of them on each device of the mesh that is set around
        the call, where their number is a multiple of it.
      scale: weight variance of the last layer.
      shift: bias variance of the last layer.
      chunk: at most this many images at a time (exact; None = all).

    Returns:
      The kernel; its third argument are the variables of all members, see `draw`.

    Raises:
      InputError: no members, or variables of another number of them.
    """
    if members < 1:
        raise InputError(f"members is {members}; it must be at least 1")

    def kernel(x1: Array, x2: Array, variables: Variables) -> Array:
        _check_members(variables, members)

        def of_some(some: Variables, pair: tuple[Array, ...]) -> Array:
            def of_one(own: Variables) -> Array:
                maps = [features(network, own, x, chunk=chunk) for x in pair]
                return dot(maps[0], maps[-1].T)

            return jnp.sum(jax.lax.map(of_one, some), axis=0)

        pair = (x1,) if x2 is x1 else (x1, x2)
        total = sum_of_shares(of_some, variables, pair)
        return scale / (members * network.feature_dim) * total + shift

    return kernel


def feature_map(
    network: Network,
    variables: Variables,
    image: Array,
    *,
    scale: float = 2.0,
    shift: float = 0.01,
    chunk: int | None = None,
) -> Array:
    """Features whose linear kernel is that of `random_features`.

    For `fit_features`, and for real images, whose features a step needs but once. The
    members are taken one after another on all devices.

    Args:
      network: of every member.
      variables: of all members, stacked.
      image: [n,h,w,c].
      scale, shift, chunk: see `random_features`.

    Returns:
      features [n, members M + 1]; the last one is the constant sqrt(shift).
    """
    members = _count(variables)
    each = jax.lax.map(
        lambda own: features(network, own, image, chunk=chunk), variables
    )
    flat = jnp.moveaxis(each, 0, 1).reshape(image.shape[0], -1)
    factor = (scale / (members * network.feature_dim)) ** 0.5
    constant = jnp.full((image.shape[0], 1), shift**0.5, flat.dtype)
    return jnp.concatenate([factor * flat, constant], axis=1)


def draw(network: Network, key: Key, members: int) -> Variables:
    """Freshly initialised variables of all members, stacked along a leading axis."""
    return jax.vmap(network.init)(jax.random.split(key, members))


def _count(variables: Variables) -> int:
    return jax.tree.leaves(variables.params)[0].shape[0]


def _check_members(variables: Variables, members: int) -> None:
    if (given := _count(variables)) != members:
        raise InputError(
            f"variables have a leading axis of {given}; random features of {members}"
            " members need the variables of all of them, stacked along it (see"
            " jaxdd.kernels.random_features.draw)"
        )
