"""The one training loop: students, teachers, SSL targets and pool members.

A `Trainer` is three pure functions, so that it runs under jit, scan, vmap and
lax.map over keys; `train` lets a `Drive` run its steps.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdd.base import (
    Array,
    Drive,
    Key,
    Metrics,
    Network,
    PyTree,
    Streamed,
    Variables,
)
from jaxdd.errors import InputError, one_of
from jaxdd.records import Recipe
from jaxdd.training import losses, optimisers
from jaxdd.training.batches import Source, Weighted
from jaxdd.training.portions import portion_rows, value_and_gradient

__all__ = [
    "Average",
    "Direction",
    "Gradient",
    "Loss",
    "TrainState",
    "Trainer",
    "fit_step",
    "scan_drive",
    "supervised",
    "train",
    "trainer",
]

Loss = Callable[
    [Network, Variables, PyTree, PyTree, PyTree, Key],
    tuple[Array, tuple[Variables, Metrics]],
]
"""(network, variables, ema, images, targets, key) -> value, (variables with updated
statistics, metrics); wide enough for losses of two views or of an averaged network."""


Gradient = Callable[[PyTree], tuple[Any, PyTree]]
"""params -> (loss and whatever comes with it, gradient), on the batch of one step."""

Direction = Callable[[Gradient, PyTree], tuple[Any, PyTree]]
"""(gradient, params) -> as the gradient returns: what the optimiser gets of a step. It
may take the gradient more than once, at other parameters."""


class TrainState(NamedTuple):
    """Everything that changes while a network trains."""

    step: Array  # int32 []
    key: Key  # constant
    variables: Variables
    opt: PyTree  # optax state
    ema: PyTree = ()  # average of the variables, () when off


class Average(NamedTuple):
    """A network that follows the trained one, for losses that compare the two.

    `start(variables)` is the average before the first step, `update(average,
    variables, step)` the one after a step (int32 []); the loss receives it as `ema`.
    """

    start: Callable[[Variables], PyTree]
    update: Callable[[PyTree, Variables, Array], PyTree]


class Trainer(NamedTuple):
    """Training as pure functions.

    `init(key, variables=None)` starts from fresh or from given variables;
    `step(state, data) -> (state, metrics)`; `finish(state)` gives the variables to use
    at test: the average where the recipe asks for one, batch norm on running
    statistics.
    """

    init: Callable[..., TrainState]
    step: Callable[[TrainState, PyTree], tuple[TrainState, Metrics]]
    finish: Callable[[TrainState], Variables]


def fit_step(
    network: Network,
    optimiser: optax.GradientTransformation,
    loss: Loss,
    *,
    by_rows: bool = False,
    direction: Direction | None = None,
) -> Callable[..., tuple[Variables, PyTree, Metrics]]:
    """One optimiser step as a pure function.

    Args:
      network: the architecture.
      optimiser: of the parameters.
      loss: of the step.
      by_rows: the loss is a mean over rows, as those of `supervised`, without metrics;
        then only a few rows are worked on at a time where that is faster
        (`jaxdd.training.portions`).
      direction: what the optimiser gets in place of the gradient.

    Returns:
      `update(variables, opt, images, targets, key, ema=()) ->
      (variables, opt, metrics)`; the statistics are those the loss returns, and the
      metrics hold `loss`.
    """

    def update(
        variables: Variables,
        opt: PyTree,
        images: PyTree,
        targets: PyTree,
        key: Key,
        ema: PyTree = (),
    ) -> tuple[Variables, PyTree, Metrics]:
        def objective(
            params: PyTree, *batch: PyTree
        ) -> tuple[Array, tuple[Variables, Metrics]]:
            now = Variables(params, variables.stats)
            return loss(network, now, ema, *batch)

        batch = images, targets, key
        first = jax.tree.leaves(images)[0]
        rows = portion_rows(network, variables, first) if by_rows else 0
        by_portions = by_rows and rows < first.shape[0]

        def gradient(params: PyTree) -> tuple[Any, PyTree]:
            if not by_portions:
                return jax.value_and_grad(objective, has_aux=True)(params, *batch)
            value, grads = value_and_gradient(
                lambda *given: objective(*given)[0], params, *batch, rows
            )
            return (value, (variables, {})), grads

        params = variables.params
        found = direction(gradient, params) if direction else gradient(params)
        (value, (after, metrics)), grads = found
        updates, opt = optimiser.update(grads, opt, params)
        params = optax.apply_updates(params, updates)
        return Variables(params, after.stats), opt, {"loss": value, **metrics}

    return update


def supervised(kind: str, temperature: float = 1.0) -> Loss:
    """The loss of one augmented view against its target, batch norm in training mode.

    Args:
      kind: cross_entropy (targets int [n] or float [n,k]), mse or half_squared_error
        (float [n,d]), soft_cross_entropy or kl (logits, float [n,k]).
      temperature: of the last two.

    Returns:
      A loss that takes plain targets or `Weighted` ones.

    Raises:
      InputError: an unknown kind, or a temperature without meaning.
    """
    softened = {"soft_cross_entropy": losses.soft_cross_entropy, "kl": losses.kl}
    table = {"cross_entropy": losses.cross_entropy, "mse": losses.mean_squared_error}
    table["half_squared_error"] = losses.half_squared_error
    table |= {n: partial(f, temperature=temperature) for n, f in softened.items()}
    one_of("recipe.loss", kind, table)
    if not temperature > 0:
        raise InputError(f"recipe.temperature={temperature}: must be positive")
    return _supervised(table[kind])


@lru_cache
def _supervised(rows: Callable[..., Array]) -> Loss:
    def loss(
        network: Network,
        variables: Variables,
        ema: PyTree,
        images: PyTree,
        targets: PyTree,
        key: Key,
    ) -> tuple[Array, tuple[Variables, Metrics]]:
        del ema
        target, weight = targets if isinstance(targets, Weighted) else (targets, None)
        output, after = network.apply(variables, images, train=True, key=key)
        return rows(output.logits, target, weight), (after, {})

    return loss


@lru_cache(maxsize=64)
def trainer(
    source: Source,
    network: Network,
    recipe: Recipe,
    *,
    loss: Loss | None = None,
    average: Average | None = None,
    split: Callable[[PyTree], PyTree] | None = None,
    by_rows: bool = False,
    direction: Direction | None = None,
) -> Trainer:
    """A training run as pure functions.

    Equal arguments give the same object, so that repeated runs compile once.

    Args:
      source: where the batches come from.
      network: what is trained.
      recipe: optimiser, steps, loss and average.
      loss: in place of the recipe's named loss.
      average: what the loss compares with, in place of the recipe's average; the
        variables to use at test are then the trained ones.
      split: spreads the rows of (images, targets) over devices.
      by_rows: `loss` is a mean over rows (see `fit_step`); the recipe's own is.
      direction: what the optimiser gets in place of the gradient; equal functions only
        are the same argument.

    Returns:
      The trainer.

    Raises:
      InputError: a recipe without meaning (steps, average, optimiser or loss).
    """
    _check(recipe)
    if average is not None and recipe.ema:
        raise InputError(
            f"recipe.ema={recipe.ema}: the loss keeps its own average; set it to 0"
        )
    follow = average or (_recipe_average(recipe.ema) if recipe.ema else None)
    optimiser = optimisers.build(recipe.optimiser, recipe.steps)
    own = supervised(recipe.loss, recipe.temperature)
    update = fit_step(
        network,
        optimiser,
        loss or own,
        by_rows=(by_rows or loss is None) and split is None,
        direction=direction,
    )

    def init(key: Key, variables: Variables | None = None) -> TrainState:
        key_init, key_run = jax.random.split(key)
        if variables is None:
            variables = network.init(key_init)
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            key=key_run,
            variables=variables,
            opt=optimiser.init(variables.params),
            ema=follow.start(variables) if follow else (),
        )

    def step(state: TrainState, data: PyTree) -> tuple[TrainState, Metrics]:
        key_source, key_loss = jax.random.split(state.key)
        images, targets = source(key_source, state.step, data)
        if split is not None:
            images, targets = split((images, targets))
        variables, opt, metrics = update(
            state.variables,
            state.opt,
            images,
            targets,
            jax.random.fold_in(key_loss, state.step),
            state.ema,
        )
        ema = follow.update(state.ema, variables, state.step) if follow else ()
        return TrainState(state.step + 1, state.key, variables, opt, ema), metrics

    def finish(state: TrainState) -> Variables:
        return state.ema if recipe.ema else state.variables

    return Trainer(init, step, finish)


def train(
    key: Key,
    source: Source,
    network: Network,
    recipe: Recipe,
    data: PyTree = (),
    *,
    loss: Loss | None = None,
    average: Average | None = None,
    start: Variables | None = None,
    drive: Drive | None = None,
    stage: str = "train",
) -> tuple[Variables, Metrics]:
    """Trains one network.

    Args:
      key: decides the initial weights and every draw.
      source: where the batches come from.
      network: what is trained.
      recipe: how.
      data: constant arrays that the source reads.
      loss: in place of the recipe's named loss.
      average: what the loss compares with (see `trainer`).
      start: variables to start from instead of fresh ones.
      drive: who runs the steps; one scan by default.
      stage: the name of this stage for progress and checkpoints.

    Returns:
      The variables to use at test and the metrics of every step, each [steps].
    """
    run = trainer(source, network, recipe, loss=loss, average=average)
    state = _start(run.init, key, start)
    state, metrics = (drive or scan_drive)(
        run.step, state, recipe.steps, data, stage=stage
    )
    return run.finish(state), metrics


def scan_drive(
    step: Callable[[PyTree, PyTree], tuple[PyTree, Metrics]],
    state: PyTree,
    num_steps: int,
    data: PyTree,
    *,
    stage: str,
) -> tuple[PyTree, Metrics]:
    """The default `Drive`: all steps in one jitted scan."""
    del stage
    if isinstance(data, Streamed):
        return _scan(step, num_steps, state, data.data, data.stream(0, num_steps))
    return _scan(step, num_steps, state, data)


@jax.jit(static_argnums=(0, 1))
def _scan(
    step: Callable, num_steps: int, state: PyTree, data: PyTree, rows: PyTree = None
) -> tuple[PyTree, Metrics]:
    def one(state: PyTree, row: PyTree) -> tuple[PyTree, Metrics]:
        return step(state, data if rows is None else (*data, row))

    return jax.lax.scan(one, state, rows, length=num_steps)


@jax.jit(static_argnums=0)
def _start(init: Callable, key: Key, variables: Variables | None) -> TrainState:
    # Copies, so that a drive may donate the state without deleting what was given.
    return jax.tree.map(jnp.copy, init(key, variables))


def _recipe_average(decay: float) -> Average:
    """The running average of weights and statistics."""

    def update(average: PyTree, variables: Variables, step: Array) -> PyTree:
        del step
        return optax.incremental_update(variables, average, 1 - decay)  # pyright: ignore

    return Average(lambda variables: variables, update)


def _check(recipe: Recipe) -> None:
    """Refuses values without meaning, naming the field."""
    if min(recipe.steps, recipe.batch, recipe.epochs) < 0:
        raise InputError(
            f"recipe.steps={recipe.steps}, recipe.epochs={recipe.epochs},"
            f" recipe.batch={recipe.batch}: all must be >= 0 (batch 0 = the whole set)"
        )
    if not 0 <= recipe.ema < 1:
        raise InputError(f"recipe.ema={recipe.ema}: must be in [0, 1); 0 = off")
