"""Rates in the state: found at the start, adapted by what the solvers report."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import Batch, Distiller, State, Synthetic, Uniform
from jaxdd.methods.kernel._rates import with_rates
from jaxdd.objectives.implicit import SolverRates
from tests.helpers import toy_corpus


def stub(largest: float) -> Distiller:
    """A distiller whose solvers fail above a rate, and which counts its steps."""

    def init(key, corpus, assets):
        params = {"image": jnp.zeros(())}
        return State(jnp.zeros((), jnp.int32), key, params, (), (), memory=params)

    def metrics(batch):
        assert isinstance(batch.extra, SolverRates)
        inner, system = batch.extra
        fell = lambda rate: jnp.where(rate < largest, 1, -1).astype(jnp.int32)
        return {"inner_trend": fell(inner), "solve_trend": fell(system)}

    def step(state, batch, assets):
        assert set(state.memory) == {"image"}
        return state._replace(step=state.step + 1), metrics(batch)

    def gradient(state, batch, assets):
        return state.params, metrics(batch)

    def export(state, assets):
        return Synthetic(state.memory["image"], jnp.zeros(()), jnp.ones(()))

    return Distiller(init, step, export, Uniform(8), gradient=gradient)


def start(largest: float, given=(0.0, 0.0)) -> SimpleNamespace:
    distiller = with_rates(stub(largest), given)
    state = distiller.init(jax.random.key(0), toy_corpus(), {})
    return SimpleNamespace(distiller=distiller, state=state)


def test_search_stops_after_the_first_failure() -> None:
    rates = start(1e-3).state.memory[1]
    grown = 1e-5
    while grown < 1e-3:
        grown *= 1.2
    np.testing.assert_allclose(rates.inner, grown * 1.2 * 0.7, rtol=1e-5)
    assert 5e-4 < float(rates.system) < 1.2e-3


def test_inner_rate_rises_and_falls_every_fifty_steps() -> None:
    case = start(1.0, given=(0.5, 2.0))
    step = jax.jit(lambda s: case.distiller.step(s, Batch(*[()] * 4), {})[0])
    state, rates = case.state, []
    for _ in range(100):
        state = step(state)
        rates.append(float(state.memory[1].inner))
    np.testing.assert_allclose(rates[48], 0.5)
    np.testing.assert_allclose(rates[49], 0.5 * 1.05, rtol=1e-6)
    np.testing.assert_allclose(rates[99], 0.5 * 1.05**2, rtol=1e-6)
    np.testing.assert_allclose(state.memory[1].system, 2.0)
    case = start(1e-9, given=(0.5, 2.0))
    step = jax.jit(lambda s: case.distiller.step(s, Batch(*[()] * 4), {})[0])
    state = case.state
    for _ in range(50):
        state = step(state)
    np.testing.assert_allclose(state.memory[1].inner, 0.45, rtol=1e-6)
    assert case.distiller.export(state, {}).image.shape == ()
