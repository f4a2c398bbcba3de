"""Flax modules as the pure functions of `jaxdd.base.Network`."""

import inspect
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxdd.base import Array, Key, Network, Output, Variables
from jaxdd.errors import InputError

__all__ = ["count_parameters", "from_linen"]

_STATISTICS = "batch_stats"


def from_linen(
    module: nn.Module, image_shape: tuple[int, int, int], *, name: str = ""
) -> Network:
    """A Linen module as a `Network`.

    Args:
      module: called with images [n,h,w,c], and with `train=` where its `__call__` has
        that argument. It returns an `Output`, a pair (logits, features), or logits
        only: then the features are the input of the last `nn.Dense` that ran, or the
        logits where there is none.
      image_shape: (h, w, c).
      name: for reports; default the class's name.

    Returns:
      The network. Its statistics are the collection "batch_stats"; `key` feeds dropout.
    """
    takes_train = "train" in inspect.signature(type(module).__call__).parameters

    def call(image: Array, train: bool) -> tuple[tuple, dict[str, Any]]:
        return (image,), {"train": train} if takes_train else {}

    def init(key: Key) -> Variables:
        args, options = call(jnp.zeros((1, *image_shape)), False)
        made = module.init(key, *args, **options)
        return Variables(made.get("params", {}), made.get(_STATISTICS, {}))

    def apply(
        variables: Variables,
        image: Array,
        *,
        train: bool = False,
        key: Key | None = None,
    ) -> tuple[Output, Variables]:
        args, options = call(image, train)
        given = {"params": variables.params, _STATISTICS: variables.stats}
        rngs = None if key is None else {"dropout": key}
        inputs: list[Array] = []
        with nn.intercept_methods(_remember_dense_input(inputs)):
            result, updated = module.apply(
                given, *args, **options, rngs=rngs, mutable=[_STATISTICS]
            )
        stats = updated.get(_STATISTICS, {}) if train else variables.stats
        output = _output(result, inputs[-1] if inputs else None)
        return output, Variables(variables.params, stats)

    return _network(init, apply, image_shape, name or type(module).__name__)


def count_parameters(network: Network) -> int:
    """Number of trainable numbers, found without computing any."""
    variables = jax.eval_shape(network.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(variables.params))


def _network(
    init: Callable[[Key], Variables],
    apply: Callable[..., tuple[Output, Variables]],
    image_shape: tuple[int, int, int],
    name: str,
) -> Network:
    """Finds the static widths by abstract evaluation."""
    key = jax.random.key(0)
    output, _ = jax.eval_shape(
        lambda key: apply(init(key), jnp.zeros((1, *image_shape))), key
    )
    feature_dim, output_dim = output.features.shape[-1], output.logits.shape[-1]
    return Network(init, apply, feature_dim, output_dim, name)


def _remember_dense_input(inputs: list[Array]) -> Callable[..., Any]:
    """An interceptor that appends the input of every Dense layer to `inputs`."""

    def remember(call, args, kwargs, context):
        if isinstance(context.module, nn.Dense) and context.method_name == "__call__":
            inputs.append(args[0])
        return call(*args, **kwargs)

    return remember


def _output(result: Any, last_input: Array | None) -> Output:
    """What a module returned, as an `Output` in at least float32."""
    if isinstance(result, Output):
        logits, features, taps = result
    elif isinstance(result, tuple):
        (logits, features), taps = result, ()
    else:
        logits, taps = result, ()
        features = logits if last_input is None else last_input
    if logits.ndim != 2:
        raise InputError(
            f"module: its logits have shape {logits.shape}; a network returns one row "
            "for every image, [n, outputs]. Flatten before the last layer."
        )
    features = features.reshape(features.shape[0], -1)
    return Output(_widened(logits), _widened(features), taps)


def _widened(array: Array) -> Array:
    """The array in at least float32."""
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))
