"""Distance between where an expert and a student trained on the set arrive.

Networks are flat vectors [p] here: distances, momenta and adjoints are then single
elementwise operations. See `jaxdd.unroll` for how the training is differentiated.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

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
    Segment,
    Synthetic,
    Variables,
)
from jaxdd.objectives.chunks import chunks
from jaxdd.objectives.portioned import (
    StepBatch,
    count_portions,
    mean_error,
    on_rows,
    rows_of,
)
from jaxdd.training import losses
from jaxdd.unroll import Adjoint, Backprop, InnerProblem

__all__ = [
    "Labels",
    "StudentTraining",
    "applied",
    "balance",
    "end_distance",
    "expert_labels",
    "perturbed",
]

Labels = Literal["class", "logits", "expert"]


@dataclass(frozen=True)
class StudentTraining:
    """How a student is trained on the set; by default without what AST adds."""

    steps: int
    """T."""
    batch: int
    """Rows of each step, b; the whole set where it has no more."""
    group: int = 1
    """Adjacent rows of the set that are always drawn together."""
    momentum: float = 0.0
    """mu: v' = mu v + g, the parameters move along v'."""
    balance: int = 0
    """Weigh the loss by the epoch of the start, around half of this one; 0 = off."""
    perturb: float = 0.0
    """Size of random changes to the start's convolutions; 0 = off."""


class _Theta(NamedTuple):
    """What the student's training depends on."""

    image: Array  # [m,h,w,c]
    target: Array  # int [m], float [m,k]
    rate: Array  # []


class _Step(NamedTuple):
    """What differs between its steps; as `xs`, with a leading axis."""

    rows: Array | None  # int [b]; None = all rows, in order
    weight: Array | None  # [b]; None = 1
    key: Key  # of the augmentation
    scale: Array  # [], of the loss


class _Training(NamedTuple):
    """One student's training, ready to run."""

    problem: InnerProblem
    theta: _Theta
    start: Array  # [p]
    xs: _Step  # of all steps
    adjoint: Adjoint


def end_distance(
    network: Network,
    training: StudentTraining,
    *,
    augment: Augment | None = None,
    adjoint: Adjoint = Backprop(),
    labels: Labels = "class",
    middle: Literal["off", "agg", "adaptive"] = "off",
) -> Objective:
    """Normalised squared distance of a student to an expert's later snapshot.

    loss = ||theta_T - phi_(s+M)||^2 / ||phi_s - phi_(s+M)||^2 with theta_0 = phi_s and
    theta_(t+1) = theta_t - rate * gradient of the mean cross-entropy on batch t of the
    set, augmented (Cazenavette et al. 2022, "Dataset Distillation by Matching Training
    Trajectories", arXiv 2203.11932, equation 2).

    Args:
      network: of the experts and the student; without batch norm.
      training: the student's.
      augment: random operations, drawn anew for every step and image; None for none.
      adjoint: how the training is differentiated; every one but `Separable` exactly.
      labels: `class` takes the set's targets as classes or probabilities, `logits` as
        logits, and `expert` the probabilities that the target snapshot gives the
        un-augmented images, without derivative (TESLA).
      middle: add the distances to the snapshots in between, after T // M steps each:
        `agg` with weight 1, `adaptive` with k / M for the k-th of M (AST).

    Returns:
      The objective. It reads a `Segment` without leading axis in `batch.extra` and the
      rate in `hyper["learning_rate"]`; it reports `loss`, `rate` and `end_distance`,
      the distance to the last snapshot.
    """
    logits = applied(network)
    error = losses.soft_cross_entropy if labels == "logits" else losses.cross_entropy
    loss = mean_error(logits, error, augment)

    def take(theta: _Theta, x: _Step) -> StepBatch:
        image, target = rows_of(theta, x.rows)
        draw = () if augment is None else augment.sample(x.key, len(image))
        return StepBatch(image, target, draw, x.weight, x.scale)

    def inner(image: Array, xs: _Step) -> InnerProblem:
        rows = len(image) if xs.rows is None else xs.rows.shape[1]
        portions = count_portions(network, image, rows, adjoint)
        sgd = unroll.SGD(training.momentum)
        return on_rows(loss, take, sgd, lambda theta, x: theta.rate, portions)

    def objective(
        synthetic: Synthetic,
        batch: Batch,
        variables: Variables,
        assets: Assets,
        key: Key,
    ) -> tuple[Array, Metrics]:
        del variables, assets
        piece: Segment = batch.extra
        key_rows, key_augment, key_change = jax.random.split(key, 3)
        start = perturbed(network, key_change, piece.start, training.perturb)
        rate = synthetic.hyper["learning_rate"].astype(start.dtype)
        target = synthetic.target
        if labels == "expert":
            target = expert_labels(logits, piece.target[-1], synthetic.image)
        theta = _Theta(synthetic.image, target, rate)
        scale = balance(piece.epoch, training.balance, start.dtype)
        xs = _steps(training, len(synthetic.image), key_rows, key_augment, scale)
        student = _Training(inner(synthetic.image, xs), theta, start, xs, adjoint)
        ends = piece.target[-1:] if middle == "off" else piece.target
        distances = _distances(student, ends)
        total = jnp.sum(distances * jnp.asarray(_weights(len(distances), middle)))
        return total, {"loss": total, "rate": rate, "end_distance": distances[-1]}

    return objective


def _steps(
    training: StudentTraining,
    size: int,
    key_rows: Key,
    key_augment: Key,
    scale: Array,
) -> _Step:
    """The inputs of all steps. The keys are inputs too, so that a step that is computed
    again augments as it did before."""
    steps, batch, group = training.steps, training.batch, training.group
    keys = jax.random.split(key_augment, steps)
    scales = jnp.broadcast_to(scale, (steps,))
    if batch >= size:
        return _Step(None, None, keys, scales)
    rows, weight = chunks(key_rows, steps, batch, size, group)
    whole = (size // group) % (batch // group) == 0
    return _Step(rows, None if whole else weight, keys, scales)


def _distances(student: _Training, targets: Array) -> Array:
    """Normalised squared distances [k] to the targets [k,p], in order of time."""
    problem, theta, start, xs, adjoint = student
    steps = xs.key.shape[0]
    piece = steps // len(targets)
    ends = [*(piece * (k + 1) for k in range(len(targets) - 1)), steps]
    assert problem.optimiser is not None
    carry = unroll.initial_carry(problem.optimiser, start)
    distances, begin = [], 0
    for end, target in zip(ends, targets, strict=True):
        part = jax.tree.map(lambda leaf, a=begin, b=end: leaf[a:b], xs)
        carry = unroll.solve(problem, theta, carry, part, adjoint=adjoint)
        distances.append(_squares(carry.params - target) / _squares(start - target))
        begin = end
    return jnp.stack(distances)


def _squares(vector: Array) -> Array:
    return jnp.sum(jnp.square(vector))


def _weights(count: int, middle: str) -> list[float]:
    """Weights of the distances; the last is the end."""
    if middle == "adaptive":
        return [*(k / count for k in range(1, count)), 1.0]
    return [1.0] * count


def balance(epoch: Array, last: int, dtype: Any = jnp.float32) -> Array:
    """Factor of the student's loss for a start at `epoch`, [].

    With h = last // 2: log5(epoch - h + 8) from h on, 1 / log5(h - epoch + 8) before:
    late starts count more (Shen et al. 2023, arXiv 2310.10541). 1 where `last` is 0.
    """
    if not last:
        return jnp.ones((), dtype)
    away = (epoch - last // 2).astype(dtype)
    factor = jnp.log(jnp.abs(away) + 8) / math.log(5)
    return jnp.where(away >= 0, factor, 1 / factor).astype(dtype)


def perturbed(network: Network, key: Key, vector: Array, size: float) -> Array:
    """The vector [p] with every convolution's kernel W moved by size * W * d.

    d is a random direction of length 1 (Frobenius) for each kernel, so the change is
    small: about 1/sqrt(number of weights) of a weight.
    """
    if not size:
        return vector
    leaves = jax.tree.leaves(_unravelled(network, vector))
    keys = jax.random.split(key, len(leaves))
    moved = []
    for key_leaf, leaf in zip(keys, leaves, strict=True):
        way = jax.random.normal(key_leaf, leaf.shape, leaf.dtype)
        change = size * leaf * way / jnp.sqrt(_squares(way))
        moved.append(leaf + change if leaf.ndim == 4 else leaf)
    return jnp.concatenate([leaf.reshape(-1) for leaf in moved])


def expert_labels(
    logits: Callable[[Array, Array], Array], vector: Array, image: Array
) -> Array:
    """Probabilities [m,k] that a snapshot gives images, without derivative."""
    output = logits(vector, jax.lax.stop_gradient(image))
    return jax.lax.stop_gradient(jax.nn.softmax(output, axis=-1))


def applied(network: Network) -> Callable[[Array, Array], Array]:
    """The network as a function of a flat vector: `(vector [p], image) -> [n,k]`."""

    def logits(vector: Array, image: Array) -> Array:
        variables = Variables(_unravelled(network, vector), {})
        return network.apply(variables, image)[0].logits

    return logits


def _unravelled(network: Network, vector: Array) -> PyTree:
    """Parameters from a vector, in the order of `jax.flatten_util.ravel_pytree`.

    Unlike that function's inverse, any floating type is welcome.
    """
    shapes = jax.eval_shape(network.init, jax.random.key(0)).params
    leaves, structure = jax.tree.flatten(shapes)
    parts, begin = [], 0
    for leaf in leaves:
        parts.append(vector[begin : begin + leaf.size].reshape(leaf.shape))
        begin += leaf.size
    return structure.unflatten(parts)
