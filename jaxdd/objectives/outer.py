"""The outer loss of bilevel methods: real images under a network trained on the set.

The inner training is `jaxdd.unroll.solve`; which rows a step takes, how it alters them,
at which rate it moves and where the differentiated window lies is said here.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxdd import unroll
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
from jaxdd.objectives.portioned import (
    StepBatch,
    count_portions,
    mean_error,
    on_rows,
    rows_of,
)
from jaxdd.objectives.rows import Rows, whole_set
from jaxdd.training import losses

__all__ = ["Inner", "Window", "trained_loss"]

Rate = float | Callable[[Synthetic, Array], Array]
"""A number, or (set, step int32 []) -> []."""


class Inner(NamedTuple):
    """How a network is trained on the set.

    `steps` of it are differentiated. `augment` alters what a step takes: one draw an
    outer step for all inner steps and the real batch alike (`paired`), or one of each
    inner step's own, with parameters for each image, and another for the real batch.
    """

    steps: int
    optimiser: unroll.InnerOptimiser
    rate: Rate
    rows: Rows = whole_set
    augment: Augment | None = None
    paired: bool = False


class Window(NamedTuple):
    """Which part of a training of `total` steps is differentiated.

    random: it begins at a step uniform in `first` .. `total` - steps; fixed: at
    `first`; end: at `total` - steps. `repeat` outer steps in a row have the same random
    beginning; from two on it is drawn from `seed` and alike for all distillations.
    """

    total: int
    policy: Literal["random", "end", "fixed"] = "random"
    first: int = 0
    repeat: int = 1
    seed: int = 0


class _Step(NamedTuple):
    """What one inner step has of its own."""

    number: Array  # int32 []
    rows: Array | None  # int [b], None = the whole set in order
    draw: PyTree = ()  # parameters of the augmentation


def trained_loss(
    network: Network,
    inner: Inner,
    *,
    window: Window | None = None,
    classes: int = 0,
    relabel: tuple[int, int] | None = None,
    adjoint: unroll.Adjoint = unroll.Backprop(),
) -> Objective:
    """Cross-entropy of real images after an inner training on the synthetic ones.

    The loss is read at the end of the window; what comes before it has no derivative.

    Args:
      network: gives logits; it has no statistics. The pool's variables are where the
        training starts.
      inner: the training.
      window: None = all steps, from the start on.
      classes: outer steps are about this many random classes, of the set and of the
        real batch, which then is class-balanced; 0 = all.
      relabel: (a, b) counts real images of class a as b (the attack of Wang et al.
        2018).
      adjoint: how the training is differentiated.

    Returns:
      The objective, with the metrics `loss` and `accuracy` on the real batch.

    Raises:
      InputError: a network with batch statistics, a window or a number of classes
        without meaning.
    """
    _check_statistics(network)
    _check_window(inner, window)

    def objective(
        synthetic: Synthetic,
        batch: Batch,
        variables: Variables,
        assets: Assets,
        key: Key,
    ) -> tuple[Array, Metrics]:
        del assets
        key_classes, key_inner, key_augment, key_start = jax.random.split(key, 4)
        chosen = _chosen(key_classes, batch, classes)
        # One vector: loops on a CPU pay for every array they carry.
        start, unravel = ravel_pytree(_as_precise(variables.params, synthetic.image))

        def logits(params: Array, image: Array) -> Array:
            now = Variables(unravel(params), variables.stats)
            return network.apply(now, image)[0].logits

        shared = _shared_draw(inner, key_augment)
        steps = _steps(inner, key_inner, synthetic.image.shape[0], chosen)
        rows = _count_rows(steps, synthetic.image)
        portions = count_portions(network, synthetic.image, rows, adjoint)
        problem = _problem(inner, logits, shared, portions)
        carry = unroll.solve(
            problem,
            synthetic,
            unroll.initial_carry(inner.optimiser, start),
            steps,
            start=_beginning(inner, window, key_start, batch.step),
            num_steps=inner.steps,
            adjoint=adjoint,
        )
        image, target, weight = _real(batch, chosen if classes else None)
        if relabel is not None:
            target = jnp.where(target == relabel[0], relabel[1], target)
        if inner.augment is not None:
            draw = inner.augment.sample(key_augment, 1 if inner.paired else len(image))
            image = inner.augment.apply(draw, image)
        output = logits(carry.params, image)
        value = losses.cross_entropy(output, target, weight)
        right = (jnp.argmax(output, -1) == target).astype(value.dtype)
        return value, {"loss": value, "accuracy": losses.weighted_mean(right, weight)}

    return objective


def _as_precise(params: PyTree, image: Array) -> PyTree:
    """Weights at least as precise as the images, so that double precision lasts."""
    return jax.tree.map(
        lambda p: p.astype(jnp.promote_types(p.dtype, image.dtype)), params
    )


def _problem(
    inner: Inner,
    logits: Callable[[Array, Array], Array],
    shared: PyTree,
    portions: int,
) -> unroll.InnerProblem:
    def take(theta: Synthetic, x: _Step) -> StepBatch:
        return StepBatch(*rows_of(theta, x.rows), shared if inner.paired else x.draw)

    loss = mean_error(logits, losses.cross_entropy, inner.augment)
    return on_rows(loss, take, inner.optimiser, _rate(inner.rate), portions)


def _count_rows(steps: Callable[[Array], _Step], image: Array) -> int:
    """How many of the images a step takes."""
    rows = jax.eval_shape(steps, jnp.zeros((), jnp.int32)).rows
    return image.shape[0] if rows is None else rows.shape[0]


def _steps(
    inner: Inner, key: Key, size: int, classes: Array
) -> Callable[[Array], _Step]:
    """What the step of a number takes."""

    def at(number: Array) -> _Step:
        key_rows, key_draw = jax.random.split(jax.random.fold_in(key, number))
        rows = inner.rows(key_rows, number, classes)
        if inner.augment is None or inner.paired:
            return _Step(number, rows)
        count = size if rows is None else rows.shape[0]
        return _Step(number, rows, inner.augment.sample(key_draw, count))

    return at


def _shared_draw(inner: Inner, key: Key) -> PyTree:
    if inner.augment is None or not inner.paired:
        return ()
    return inner.augment.sample(key, 1)


def _rate(rate: Rate) -> float | Callable[[Synthetic, _Step], Array]:
    return (lambda theta, x: rate(theta, x.number)) if callable(rate) else rate


def _beginning(
    inner: Inner, window: Window | None, key: Key, number: Array | None
) -> Array | int:
    """Steps before the window."""
    if window is None:
        return 0
    last = window.total - inner.steps
    if window.policy != "random" or window.first == last:
        return window.first if window.policy == "fixed" else last
    if window.repeat > 1:
        assert number is not None, "the feed does not count steps"
        key = jax.random.fold_in(jax.random.key(window.seed), number // window.repeat)
    return jax.random.randint(key, (), window.first, last + 1)


def _chosen(key: Key, batch: Batch, classes: int) -> Array:
    """The classes of an outer step, int [classes], in order; () where all count."""
    if not classes:
        return jnp.zeros((0,), jnp.int32)
    order = jax.random.permutation(key, batch.image.shape[0])
    return jnp.sort(order[:classes])


def _real(batch: Batch, classes: Array | None) -> tuple[Array, Array, Array]:
    """Images [n,h,w,c], labels and weights of the real batch, of some classes only."""
    image, target, weight = batch.image, batch.target, batch.weight
    assert target is not None, "the feed gives no labels"
    if image.ndim == 4:
        return image, target, weight
    if classes is not None:
        image, target, weight = image[classes], target[classes], weight[classes]
    image = image.reshape(-1, *image.shape[2:])
    return image, target.reshape(-1), weight.reshape(-1)


def _check_statistics(network: Network) -> None:
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    if jax.tree.leaves(shapes.stats):
        raise InputError(
            f"distill.network={network.name!r}: it has batch norm, whose statistics an"
            " unrolled training would have to carry and differentiate; choose norm="
            "'instance' or 'none'"
        )


def _check_window(inner: Inner, window: Window | None) -> None:
    if inner.steps < 1:
        raise InputError(f"distill.inner_steps={inner.steps}: must be at least 1")
    if window is None:
        return
    one_of("distill.policy", window.policy, ("random", "end", "fixed"))
    if window.total < inner.steps:
        raise InputError(
            f"distill.total={window.total}: the training must be at least as long as"
            f" the window of {inner.steps} steps"
        )
    if not 0 <= window.first <= window.total - inner.steps:
        raise InputError(
            f"distill.first={window.first}: the window of {inner.steps} steps must"
            f" begin at 0 to {window.total - inner.steps}"
        )
    if window.repeat < 1:
        raise InputError(f"distill.window_repeat={window.repeat}: must be at least 1")
