"""Inner problems on rows of the set, a few rows at a time where that is faster."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdd import tree, unroll
from jaxdd.base import Array, Augment, Network, PyTree
from jaxdd.members import shares
from jaxdd.training.portions import portion_rows
from jaxdd.unroll import Adjoint, Backprop, InnerOptimiser, InnerProblem, Separable

__all__ = ["StepBatch", "count_portions", "mean_error", "on_rows", "rows_of"]

_MANY = 10080  # rows, for which `portion_rows` names the fastest number as it is
_NEAR = 2.5  # by which factor the rows of a portion may differ from the fastest number
_ODD = 1.7  # how much farther from it an odd number of rows may count
_LARGE = 1 << 19  # bytes of a gradient that no longer stays in a core's cache


class StepBatch(NamedTuple):
    """What a step takes of the set."""

    image: Array  # [b,h,w,c]
    target: Array  # int [b], float [b,k]
    draw: PyTree = ()  # parameters of the augmentation, leading axis b, or 1 for all
    weight: Array | None = None  # [b]; None = 1
    scale: Array | float = 1.0  # [], of the loss


Loss = Callable[[Array, StepBatch], Array]
"""(params, rows) -> scale times a mean over the rows under their weights."""


def rows_of(theta: Any, rows: Array | None) -> tuple[Array, Array]:
    """Image and target of some rows [b]; None is all of them, in order."""
    if rows is None:
        return theta.image, theta.target
    return theta.image[rows], theta.target[rows]


def mean_error(
    logits: Callable[[Array, Array], Array],
    error: Callable[[Array, Array, Array | None], Array],
    augment: Augment | None,
) -> Loss:
    """The mean error of a network's logits (params, image) on augmented rows."""

    def loss(params: Array, rows: StepBatch) -> Array:
        image = rows.image
        if augment is not None:
            image = augment.apply(rows.draw, image)
        return rows.scale * error(logits(params, image), rows.target, rows.weight)

    return loss


def on_rows(
    loss: Loss,
    take: Callable[[Any, Any], StepBatch],
    optimiser: InnerOptimiser,
    rate: float | Callable[[Any, Any], Array],
    portions: int = 1,
) -> InnerProblem:
    """The inner problem whose step x follows the loss of the rows `take(theta, x)`.

    Args:
      loss: of rows.
      take: the rows of a step.
      optimiser, rate: of `unroll.inner.problem`.
      portions: that the gradient is the sum of, from `count_portions`. They change it
        by the order of sums only.
    """
    if portions == 1:
        whole = lambda theta, params, x: loss(params, take(theta, x))
        return unroll.inner.problem(whole, optimiser, rate)
    of_part = lambda theta, params, part: loss(params, part)
    return unroll.in_portions(
        unroll.inner.problem(of_part, optimiser, rate),
        lambda theta, x: _cut(take(theta, x), portions),
    )


def count_portions(
    network: Network, image: Array, rows: int, adjoint: Adjoint = Backprop()
) -> int:
    """Into how many equal portions it is best to cut a step's rows (static).

    1 where no number near the fastest one divides them, and for adjoints that
    differentiate a step in a way of their own. Few rows are cut as well, unlike by
    `portion_rows`: a step that is differentiated passes over its maps more often.
    Where several devices are free, each gets as many portions as the others.

    Args:
      network: the student.
      image: [m,h,w,c], the set or its shape.
      rows: of a step, b.
      adjoint: of the training.
    """
    plain = isinstance(adjoint, Backprop) and adjoint.step == "plain"
    if not plain and not isinstance(adjoint, Separable):
        return 1
    variables = jax.eval_shape(network.init, jax.random.key(0))
    images: Any = jax.ShapeDtypeStruct((_MANY, *image.shape[1:]), image.dtype)
    fastest, devices = portion_rows(network, variables, images), shares()
    if fastest >= min(rows // devices, _MANY):
        return 1
    # While the gradient is small, what a portion costs is its maps: odd numbers of
    # rows then take longer than fewer, even ones.
    odd = _ODD if tree.size_in_bytes(variables.params) < _LARGE else 1.0
    away = lambda size: abs(math.log(size / fastest)) + size % 2 * math.log(odd)
    for each in (devices, 1):
        sizes = [size for size in range(1, rows + 1) if rows % (size * each) == 0]
        best = min(sizes, key=away, default=0)
        if best and away(best) <= math.log(_NEAR):
            return rows // best
    return 1


def _cut(rows: StepBatch, portions: int) -> StepBatch:
    """Rows [b,...] as [portions,b / portions,...], the mean of whose losses is theirs.

    A portion's mean is under its own weights, so their sum joins its scale.
    """
    count = rows.image.shape[0]

    def cut(leaf: Array) -> Array:
        if leaf.shape[0] == count:
            return leaf.reshape(portions, -1, *leaf.shape[1:])
        return jnp.broadcast_to(leaf[None], (portions, *leaf.shape))

    dtype = rows.image.dtype
    scale = jnp.full((portions,), rows.scale, dtype)
    cut_rows = jax.tree.map(cut, rows._replace(scale=None))
    if cut_rows.weight is not None:
        sums = cut_rows.weight.astype(dtype).sum(1)
        scale = scale * sums / jnp.mean(sums)
    return cut_rows._replace(scale=scale)
