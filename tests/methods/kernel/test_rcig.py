"""RCIG as a whole: its pool, its rates, and settings that it refuses."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from jaxdd.base import Batch, Task
from jaxdd.errors import InputError
from jaxdd.methods.kernel._rates import Rates
from jaxdd.methods.kernel.rcig import RcigConfig, rcig
from jaxdd.methods.kernel.rcig_presets import SMOKE
from jaxdd.records import (
    ConvNet,
)
from tests.helpers import toy_corpus

TASK = Task((8, 8, 1), 4, 4, 1, 20, 48)


def test_rcig_with_adam_keeps_rates_and_exports_the_average() -> None:
    """Two whole steps of the authors' solver: visits, renewed networks, the average."""
    config = dataclasses.replace(
        SMOKE,
        solver="adam",
        linear_steps=3,
        system_steps=3,
        linear_rate=1e-4,
        system_rate=1e-3,
        clip=True,
        pool=1,
        max_age=3,
        visit=(2, 2),
        ema=0.75,
    )
    distiller = rcig(TASK, config)
    state = distiller.init(jax.random.key(0), toy_corpus(), {})
    label = jnp.arange(16) % 4
    image = jax.random.normal(jax.random.key(1), (16, 8, 8, 1))
    batch = Batch(image, label, label, jnp.ones(16))
    step = jax.jit(lambda s: distiller.step(s, batch, {}))
    first = state.params["image"]
    after, metrics = step(state)
    average, rates = after.memory
    assert isinstance(rates, Rates)
    assert int(rates.steps) == 1
    assert float(metrics["inner_rate"]) == pytest.approx(1e-4)
    moved = average["image"] - first
    assert jnp.allclose(moved, 0.25 * (after.params["image"] - first), atol=1e-6)
    exported = distiller.export(after, {})
    assert jnp.array_equal(exported.image, average["image"])
    assert after.pool.age.tolist() == [2]
    # The second visit passes the age of three, so the network is replaced at once.
    assert step(after)[0].pool.age.tolist() == [0]
    assert float(after.params["hyper"]["log_temperature"]) != 0


def test_rcig_refuses_a_convolution_without_forward_mode() -> None:
    spec = ConvNet(width=(4,), norm="none", conv="cpu")
    with pytest.raises(InputError, match=r"network\.conv"):
        rcig(TASK, RcigConfig(network=spec))


@pytest.mark.parametrize(
    "bad",
    [
        {"ridge": 0.0},
        {"linear_steps": 0},
        {"linear_rate": -1.0},
        {"temperature_rate": 0.0},
        {"ema": 1.0},
    ],
)
def test_rcig_settings_out_of_range_are_named(bad: dict) -> None:
    with pytest.raises(InputError, match=f"distill.{next(iter(bad))}"):
        rcig(TASK, RcigConfig(**bad))


def test_rcig_visits_need_steps() -> None:
    with pytest.raises(InputError, match="visit"):
        rcig(TASK, RcigConfig(visit=(0, 3)))
