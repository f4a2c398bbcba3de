"""Matching the gradients that real and synthetic images give a network, by class.

The real gradient is a constant. The synthetic images' derivative is taken one class at
a time together with the value, so that memory does not grow with the classes.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from jaxdd.base import (
    Array,
    Assets,
    Augment,
    Batch,
    Key,
    Metrics,
    Network,
    Objective,
    PyTree,
    Synthetic,
    Variables,
)
from jaxdd.errors import InputError, one_of
from jaxdd.training import losses
from jaxdd.training.batches import Weighted
from jaxdd.training.portions import portion_rows, value_and_gradient
from jaxdd.training.statistics import with_batch_statistics

__all__ = ["Derivative", "Distance", "class_gradients", "distance"]

Distance = Literal["ours", "mse", "cos"]
Derivative = Literal["reverse", "forward"]

_FLOOR = 1e-6  # added to products of norms, as the authors' program does


class _Rule(NamedTuple):
    """How a class is matched, alike for all of them."""

    network: Network
    compare: Callable[[PyTree, PyTree], Array]
    augment: Augment | None
    forward: bool


class _Class(NamedTuple):
    """What one class brings, apart from its synthetic images."""

    real: Array  # [n,h,w,c]
    number: Array  # int32 []
    real_weight: Array  # [n]
    target: Array  # [i] or [i,k], of the synthetic images
    weight: Array  # [i]
    key: Key


def class_gradients(
    network: Network,
    *,
    kind: Distance = "ours",
    augment: Augment | None = None,
    derivative: Derivative = "reverse",
    chunk_classes: int = 1,
) -> Objective:
    """Sum over classes of the distance between mean loss gradients.

    loss = sum_c D(grad CE(theta; A_c S_c), grad CE(theta; A_c T_c)), with one draw A_c
    of the augmentation per class, shared by its real and synthetic images (Zhao et
    al., arXiv 2006.05929, equation 9; with augmentation arXiv 2102.08259, equation 4).
    Only the synthetic images are differentiated, and only once.

    Args:
      network: a classifier. One with batch norm first takes the batch's statistics in,
        then keeps them fixed.
      kind: of distance, see `distance`.
      augment: random operations, sampled once per class; None for none.
      derivative: `reverse` differentiates the gradient once more; `forward` takes one
        directional derivative of the images' gradient. Equal values; on ConvNets
        forward takes a tenth more operations and no less memory, and the CPU
        convolution does not allow it.
      chunk_classes: classes worked on at a time; 0 = all.

    Returns:
      The objective; it takes the synthetic set in class-major order [k*i,...] and a
      class-balanced batch [k,n,...], and reports `loss`.

    Raises:
      InputError: an unknown distance or derivative, or a negative chunk.
    """
    _check(derivative, chunk_classes)
    rule = _Rule(network, distance(kind), augment, derivative == "forward")
    one = partial(_matched, rule)

    def objective(
        synthetic: Synthetic,
        batch: Batch,
        variables: Variables,
        assets: Assets,
        key: Key,
    ) -> tuple[Array, Metrics]:
        del assets
        classes = batch.image.shape[0]
        by_class = jax.tree.map(
            lambda leaf: leaf.reshape(classes, -1, *leaf.shape[1:]),
            (synthetic.image, synthetic.target, synthetic.weight),
        )
        image, target, weight = by_class
        others = _Class(
            real=batch.image,
            number=jnp.arange(classes, dtype=jnp.int32),
            real_weight=batch.weight,
            target=target,
            weight=weight,
            key=jax.random.split(key, classes),
        )
        chunk = chunk_classes or classes
        variables = with_batch_statistics(network, variables, batch)
        loss = _over_classes(one, chunk, image, variables, others)
        return loss, {"loss": loss}

    return objective


def distance(kind: Distance) -> Callable[[PyTree, PyTree], Array]:
    """How far two gradients are apart, as a function of two equal trees.

    ours: over all rows of all tensors of two or more axes, the sum of
    1 - <a, b> / (||a|| ||b|| + 1e-6). A row is what belongs to one output channel, the
    last axis; tensors of one axis (biases, scales of most norms) do not count. In
    [0, 2 rows], blind to positive factors of single rows.
    mse: squared difference, summed over all tensors.
    cos: the term of `ours` for all tensors as one row.

    Args:
      kind: one of the three (Zhao et al., arXiv 2006.05929, section 3.3).

    Returns:
      (tree, tree) -> scalar; its derivative is finite at zero rows.

    Raises:
      InputError: an unknown kind.
    """
    known = {"ours": _rows_apart, "mse": _squares_apart, "cos": _directions_apart}
    one_of("distance", kind, known)
    return known[kind]


def _rows_apart(one: PyTree, other: PyTree) -> Array:
    """`ours`."""
    total = jnp.zeros(())
    for a, b in _leaves(one, other):
        if a.ndim >= 2:
            axes = tuple(range(a.ndim - 1))
            total += jnp.sum(1 - _cosine(a, b, axes))
    return total


def _squares_apart(one: PyTree, other: PyTree) -> Array:
    """`mse`."""
    return sum((jnp.sum((a - b) ** 2) for a, b in _leaves(one, other)), jnp.zeros(()))


def _directions_apart(one: PyTree, other: PyTree) -> Array:
    """`cos`."""
    flat = lambda t: jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(t)])
    return 1 - _cosine(flat(one), flat(other), (0,))


def _cosine(a: Array, b: Array, axes: tuple[int, ...]) -> Array:
    inner = jnp.sum(a * b, axes)
    return inner / (_norm(a, axes) * _norm(b, axes) + _FLOOR)


def _norm(a: Array, axes: tuple[int, ...]) -> Array:
    """Euclidean norm whose derivative at zero is zero, not NaN.

    A unit that no synthetic image activates gives a row of zeros.
    """
    square = jnp.sum(a * a, axes)
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def _leaves(one: PyTree, other: PyTree) -> list[tuple[Array, Array]]:
    return list(zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True))


# One class, and all of them --------------------------------------------------------


def _matched(
    rule: _Rule, image: Array, variables: Variables, own: _Class
) -> tuple[Array, Array]:
    """A class's distance and its derivative by the synthetic images [i,h,w,c]."""
    network, compare, augment, forward = rule
    real, fake, pull = own.real, image, lambda gradient: (gradient,)
    if augment is not None:
        params = augment.sample(own.key, 1)
        real = augment.apply(params, real)
        fake, pull = jax.vjp(partial(augment.apply, params), image)
    wanted = _real_gradient(network, variables, real, own)

    def loss(params: PyTree, fake: Array) -> Array:
        now = Variables(params, variables.stats)
        return _cross_entropy(network, now, fake, own.target, own.weight)

    params, gradient = variables.params, jax.grad(loss)
    if not forward:
        value, slope = jax.value_and_grad(
            lambda fake: compare(gradient(params, fake), wanted)
        )(fake)
        return value, *pull(slope)
    value, way = jax.value_and_grad(compare)(gradient(params, fake), wanted)
    # <gradient by params, way> differentiated by the images is the images' gradient
    # differentiated along `way`: derivatives commute.
    by_image = lambda params: jax.grad(loss, argnums=1)(params, fake)
    _, slope = jax.jvp(by_image, (params,), (way,))
    return value, *pull(slope)


def _real_gradient(
    network: Network, variables: Variables, real: Array, own: _Class
) -> PyTree:
    """The mean loss's gradient by real images, a few at a time where that is faster."""
    target = jnp.full(real.shape[0], own.number)
    targets = Weighted(target, own.real_weight)

    def loss(params: PyTree, real: Array, targets: Weighted, key: Key) -> Array:
        del key
        now = Variables(params, variables.stats)
        return _cross_entropy(network, now, real, *targets)

    rows = portion_rows(network, variables, real)
    if rows == real.shape[0]:
        return jax.grad(loss)(variables.params, real, targets, own.key)
    given = variables.params, real, targets, own.key
    return value_and_gradient(loss, *given, rows)[1]


def _cross_entropy(
    network: Network, variables: Variables, image: Array, target: Array, weight: Array
) -> Array:
    output, _ = network.apply(variables, image)
    return losses.cross_entropy(output.logits, target, weight)


_Matched = Callable[[Array, Variables, _Class], tuple[Array, Array]]


def _sum_over_classes(
    one: _Matched, chunk: int, image: Array, variables: Variables, others: _Class
) -> Array:
    """The sum of `one`'s values over images [k,i,h,w,c]."""
    return _over_classes_fwd(one, chunk, image, variables, others)[0]


def _over_classes_fwd(
    one: _Matched, chunk: int, image: Array, variables: Variables, others: _Class
) -> tuple[Array, Array]:
    values, slopes = jax.lax.map(
        lambda entry: one(entry[0], variables, entry[1]),
        (image, others),
        batch_size=chunk if chunk > 1 else None,
    )
    return jnp.sum(values), slopes


def _over_classes_bwd(
    one: _Matched, chunk: int, slopes: Array, cotangent: Array
) -> tuple[Array, None, None]:
    del one, chunk
    return (slopes * cotangent).astype(slopes.dtype), None, None


_over_classes = jax.custom_vjp(_sum_over_classes, nondiff_argnums=(0, 1))
_over_classes.defvjp(_over_classes_fwd, _over_classes_bwd)


def _check(derivative: str, chunk_classes: int) -> None:
    one_of("derivative", derivative, get_args(Derivative))
    if chunk_classes < 0:
        raise InputError(f"chunk_classes={chunk_classes}: must be 0 (all) or positive")
