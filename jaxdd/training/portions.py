"""The gradient of a mean over rows, summed over a few rows at a time.

On CPU a step is faster when the maps of the rows in work stay in a core's cache: passes
over memory, not multiplications, are what small networks spend their time on.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Key, Network, PyTree, Variables
from jaxdd.training.batches import Weighted

__all__ = ["portion_rows", "value_and_gradient"]

Objective = Callable[[PyTree, PyTree, Weighted, Key], Array]
"""(params, images, targets, key) -> weighted mean over the rows."""

# Measured: 4 images of 32 pixels are best at 32 and at 128 channels; the cost of a
# batch that does not divide evenly, and of odd numbers of rows, is seen there too.
_LEAST_ROWS = 4
_LEAST_BYTES = 1 << 19  # of the largest map; below, starting so many passes costs more
_WIDEST = 2.5  # how much larger a portion may be to divide the batch evenly


def portion_rows(network: Network, variables: Variables, images: Array) -> int:
    """How many rows to take at a time (static); all of them where that is faster.

    Every portion reads and writes the whole gradient, so its largest map is at least as
    large as the parameters.

    Args:
      network: the architecture; couples rows unless `network.per_image`.
      variables: of it.
      images: [n,h,w,c] of a step.

    Returns:
      At most n.
    """
    rows = images.shape[0]
    if not network.per_image or jax.default_backend() != "cpu":
        return rows
    output, _ = jax.eval_shape(network.apply, variables, images)
    map_bytes = max((_bytes(tap) for tap in output.taps), default=1) / rows
    params_bytes = sum(map(_bytes, jax.tree.leaves(variables.params)))
    least = max(_LEAST_ROWS, math.ceil(max(_LEAST_BYTES, params_bytes) / map_bytes))
    least += least % 2
    if rows <= _WIDEST * least:
        return rows
    return min(range(least, int(_WIDEST * least) + 1, 2), key=lambda n: -rows % n)


def value_and_gradient(
    objective: Objective,
    params: PyTree,
    images: PyTree,
    targets: PyTree,
    key: Key,
    rows: int,
) -> tuple[Array, PyTree]:
    """The objective of a batch and its gradient by the parameters, `rows` at a time.

    Equal to those of the whole batch up to the order of sums, where no row's output
    depends on another row. A last, partial portion is filled up with rows of weight 0.

    Args:
      objective: of a few rows; the mean of their losses under their weights.
      params: what the gradient is taken by.
      images: arrays with rows as their leading axis.
      targets: likewise, or `Weighted`.
      key: each portion gets its own.
      rows: of a portion.

    Returns:
      Value and gradient.
    """
    count = jax.tree.leaves(images)[0].shape[0]
    if not isinstance(targets, Weighted):
        targets = Weighted(targets, jnp.ones(count))
    total = jnp.sum(targets.weight, dtype=float)
    filled = Weighted(
        _portions(targets.target, rows),
        _portions(targets.weight, rows, fill=0),
    )

    def one(params: PyTree, images: PyTree, targets: Weighted, key: Key) -> Array:
        share = jnp.sum(targets.weight, dtype=float) / jnp.where(total > 0, total, 1)
        value = objective(params, images, targets, key)
        return value * share.astype(value.dtype)

    def add(summed: PyTree, portion: tuple) -> tuple[PyTree, None]:
        index, images, targets = portion
        part = jax.value_and_grad(one)(
            params, images, targets, jax.random.fold_in(key, index)
        )
        return jax.tree.map(jnp.add, summed, part), None

    portions = _portions(images, rows), filled
    index = jnp.arange(-(-count // rows))
    first = jax.tree.map(lambda leaf: leaf[0], portions)
    shapes = jax.eval_shape(jax.value_and_grad(one), params, *first, key)
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.scan(add, zeros, (index, *portions))[0]


def _portions(tree: PyTree, rows: int, fill: int | None = None) -> PyTree:
    """Arrays [n,...] as [portions,rows,...]; filled up with their first row, or `fill`.

    With a row that is there, so that no map is outside of what networks expect.
    """

    def split(array: Array) -> Array:
        more = -array.shape[0] % rows
        first = array[:1] if fill is None else jnp.full_like(array[:1], fill)
        if more:
            array = jnp.concatenate([array, jnp.repeat(first, more, 0)])
        return array.reshape(-1, rows, *array.shape[1:])

    return jax.tree.map(split, tree)


def _bytes(array: Array) -> int:
    return array.size * array.dtype.itemsize
