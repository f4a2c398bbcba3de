"""Rates of an objective's own solvers, found before the first step and adapted.

For a distiller whose objective reads `SolverRates` from its batch and reports by two
metrics how their solvers fared (`objectives.linearised.trend`).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import whiten
from jaxdd.base import (
    Array,
    Assets,
    Batch,
    Corpus,
    Distiller,
    Key,
    Metrics,
    PyTree,
    State,
    Synthetic,
    Uniform,
)
from jaxdd.objectives.implicit import SolverRates

__all__ = ["Rates", "with_rates"]

_FIRST = 1e-5, 5e-5
_GROWTH, _BACK = 1.2, 0.7  # while searching
_MOST_TRIES = 100
_EVERY = 50  # steps between changes
_SLOWER, _FASTER = 0.9, 1.05
_TOO_MANY_RISES, _ENOUGH_FALLS = 0.29, 0.7


class Rates(NamedTuple):
    """Part of `State.memory`."""

    inner: Array  # float [], of the inner problem's Adam
    system: Array  # float [], of the linear system's
    falls: Array  # int32 [], steps since the last change whose values fell throughout
    rises: Array  # int32 [], and those whose last value exceeded the first
    steps: Array  # int32 [], all of them


def with_rates(distiller: Distiller, given: tuple[float, float]) -> Distiller:
    """The distiller with its rates in the state.

    A rate that is 0 is searched for before the first step: it grows by a fifth from a
    small one while the values of its solver fall at every step, and what follows the
    first failure is taken at 0.7. Every 50 steps the inner rate is multiplied by 0.9 if
    the last value exceeded the first in 29 % of the steps or more, otherwise by 1.05 if
    the values fell throughout in 70 % or more (the authors' code of RCIG, yolky/RCIG).

    Args:
      distiller: with a `gradient` and a `Uniform` feed.
      given: the rates of the inner problem and of the linear system; 0 = search.

    Returns:
      The distiller; its memory is (the memory of the given one, `Rates`).
    """
    gradient = distiller.gradient
    assert gradient is not None

    def init(key: Key, corpus: Corpus, assets: Assets) -> State:
        state = distiller.init(key, corpus, assets)
        assert isinstance(distiller.feed, Uniform)
        batch = _some(jax.random.fold_in(key, 1), corpus, distiller.feed.batch)

        @jax.jit
        def trends(inner: Array, system: Array) -> tuple[Array, Array]:
            rated = batch._replace(extra=SolverRates(inner, system))
            _, metrics = gradient(state, rated, assets)
            return metrics["inner_trend"], metrics["solve_trend"]

        inner, system = given
        inner = inner or _search(_FIRST[0], lambda r: trends(r, _FIRST[1])[0])
        system = system or _search(_FIRST[1], lambda r: trends(inner, r)[1])
        dtype = batch.image.dtype
        zero = jnp.zeros((), jnp.int32)
        rates = Rates(
            jnp.asarray(inner, dtype), jnp.asarray(system, dtype), *[zero] * 3
        )
        return state._replace(memory=(state.memory, jax.tree.map(jnp.copy, rates)))

    def step(state: State, batch: Batch, assets: Assets) -> tuple[State, Metrics]:
        rates = state.memory[1]
        state, metrics = distiller.step(_inside(state), _rated(batch, rates), assets)
        after = _adapted(rates, metrics["inner_trend"])
        metrics = metrics | {"inner_rate": after.inner, "solve_rate": after.system}
        return state._replace(memory=(state.memory, after)), metrics

    def slope(state: State, batch: Batch, assets: Assets) -> tuple[PyTree, Metrics]:
        return gradient(_inside(state), _rated(batch, state.memory[1]), assets)

    def export(state: State, assets: Assets) -> Synthetic:
        return distiller.export(_inside(state), assets)

    return distiller._replace(init=init, step=step, export=export, gradient=slope)


def _inside(state: State) -> State:
    return state._replace(memory=state.memory[0])


def _rated(batch: Batch, rates: Rates) -> Batch:
    return batch._replace(extra=SolverRates(rates.inner, rates.system))


def _adapted(rates: Rates, found: Array) -> Rates:
    """The counts after a step, and where it is time, another rate and no counts."""
    falls, rises = rates.falls + (found == 1), rates.rises + (found == -1)
    steps = rates.steps + 1
    due = steps >= _EVERY
    slower = jnp.where(falls >= _ENOUGH_FALLS * steps, _FASTER, 1.0)
    factor = jnp.where(rises >= _TOO_MANY_RISES * steps, _SLOWER, slower)
    changed = rates.inner * factor.astype(rates.inner.dtype)
    anew = lambda count: jnp.where(due, 0, count).astype(jnp.int32)
    inner = jnp.where(due, changed, rates.inner)
    return Rates(inner, rates.system, anew(falls), anew(rises), anew(steps))


def _search(rate: float, trend: Callable[[float], Array]) -> float:
    for _ in range(_MOST_TRIES):
        fell = int(trend(rate)) == 1
        rate *= _GROWTH
        if not fell:
            break
    return rate * _BACK


def _some(key: Key, corpus: Corpus, count: int) -> Batch:
    """Some real images, to search the rates with."""
    count = min(count, corpus.size)
    order = np.asarray(jax.random.permutation(key, corpus.size))[:count]
    rows = jnp.asarray(order)
    image = whiten.apply(corpus.whitening, whiten.to_unit(corpus.image[rows]))
    return Batch(image, corpus.label[rows], rows, jnp.ones(count, image.dtype))
