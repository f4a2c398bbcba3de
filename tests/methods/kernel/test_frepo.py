"""FRePo as a whole: what its settings mean, and what they must not be."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Batch, Task, Uniform
from jaxdd.errors import InputError
from jaxdd.methods.kernel.frepo import FrepoConfig, frepo
from jaxdd.methods.kernel.frepo_presets import SMOKE
from tests.helpers import toy_corpus

TASK = Task((8, 8, 1), 4, 8, 2, 20, 48)


def start(**changes):
    distiller = frepo(TASK, dataclasses.replace(SMOKE, **changes))
    return distiller, distiller.init(jax.random.key(0), toy_corpus(), {})


def test_frepo_starts_at_scaled_centred_labels_and_staggered_ages(key) -> None:
    distiller, state = start(pool=3, max_age=100)
    expected = (np.repeat(np.eye(4), 2, 0) - 0.25) / np.sqrt(4 / 10)
    np.testing.assert_allclose(state.params["target"], expected, rtol=1e-6)
    assert state.pool.age.tolist() == [0, 33, 66]
    assert (distiller.warm, distiller.warm_steps) == (None, 0)
    assert distiller.feed == Uniform(16)


def test_frepo_without_ages_has_no_pool_and_fixed_labels_are_no_leaf() -> None:
    """No pool is RFAD's limit: a fresh network at each step."""
    _, state = start(max_age=0, labels="fixed")
    assert state.pool == ()
    assert set(state.params) == {"image"}


def test_frepo_replaces_a_network_after_one_step_more_than_its_age() -> None:
    distiller, state = start(pool=1, max_age=2)
    assert state.pool.age.tolist() == [0]
    ages = []
    image = jax.random.normal(jax.random.key(1), (16, 8, 8, 1))
    label = jnp.arange(16) % 4
    batch = Batch(image, label, label, jnp.ones(16))
    step = jax.jit(lambda s: distiller.step(s, batch, {})[0])
    for _ in range(5):
        state = step(state)
        ages.append(int(state.pool.age[0]))
    assert ages == [1, 2, 3, 0, 1]


@pytest.mark.parametrize(
    "bad",
    [
        {"ridge": 0.0},
        {"ridge": -1e-6},
        {"pool": 0},
        {"batch": 0},
        {"network_batch": 0},
        {"margin": -1.0},
        {"max_age": -1},
        {"refine": -1},
    ],
)
def test_frepo_settings_out_of_range_are_named(bad: dict) -> None:
    with pytest.raises(InputError, match=f"distill.{next(iter(bad))}"):
        frepo(TASK, dataclasses.replace(FrepoConfig(), **bad))


def test_frepo_needs_images_per_class() -> None:
    with pytest.raises(InputError, match="ipc"):
        frepo(dataclasses.replace(TASK, ipc=None), SMOKE)
