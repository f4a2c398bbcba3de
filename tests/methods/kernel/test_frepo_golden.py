"""Two steps of FRePo against the authors' program, in float64.

The arrays come from `experiments/reference/kernel/frepo_jax.py`, which runs
yongchao97/FRePo (commit 9b98c65): loss, gradients, the set after each LAMB step, and
the network after each step of its own training (parameters and batch norm statistics).
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Batch, State, Task, Variables
from jaxdd.methods.kernel.frepo import FrepoConfig, frepo
from jaxdd.pools.online import OnlinePool
from jaxdd.records import (
    BatchNorm,
    ConvNet,
    Decay,
    Lamb,
)
from jaxdd.training import optimisers

SHAPE, CLASSES, STEPS = (8, 8, 3), 6, (1, 2)
CONFIG = FrepoConfig(
    network=ConvNet(
        width=(3, 6),
        norm="batch",
        initialiser="flax",
        norm_place="before",
        batch_norm=BatchNorm(0.1, "biased"),
    ),
    pool=1,
    optimiser=Lamb(1e-2, schedule=Decay("cosine", 0.1)),
    batch=7,
)
# The learning rate falls over ten steps, of which two are made.
TASK = Task(SHAPE, CLASSES, CLASSES, 1, 10, 7)
LAYERS = {"conv_0": "Conv_0", "conv_1": "Conv_1", "head": "Dense_0"}
NORM = ("norm_1", "BatchNorm_0")


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden" / "frepo.npz") as file:
        return {name: file[name] for name in file}


def variables_of(arrays, prefix) -> Variables:
    """Parameters and statistics of their network in our structure."""
    ours, theirs = NORM
    params = {
        name: {
            part: arrays[f"{prefix}/params/{layer}/{part}"]
            for part in ("kernel", "bias")
        }
        for name, layer in LAYERS.items()
    }
    params[ours] = {
        part: arrays[f"{prefix}/params/{theirs}/{part}"] for part in ("scale", "bias")
    }
    stats = {
        ours: {
            part: arrays[f"{prefix}/stats/{theirs}/{part}"] for part in ("mean", "var")
        }
    }
    return Variables(params, stats)


def start_state(golden) -> State:
    variables = jax.tree.map(jnp.asarray, variables_of(golden, "start"))
    inner = optimisers.build(CONFIG.network_optimiser, 101)
    alone = lambda tree: jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], tree)
    age, goal = jnp.zeros(1, jnp.int32), jnp.zeros(1, jnp.int32)
    opt = inner.init(variables.params)
    params = {
        "image": jnp.asarray(golden["start/x_s"]),
        "target": jnp.asarray(golden["start/y_s"]),
    }
    return State(
        step=jnp.zeros((), jnp.int32),
        key=jax.random.key(0),
        params=params,
        opt=optimisers.build(CONFIG.optimiser, TASK.num_steps).init(params),
        pool=OnlinePool(alone(variables), alone(opt), age, goal),
    )


@pytest.fixture(scope="module")
def steps(golden):
    """States, metrics and gradients of the steps."""
    with jax.enable_x64(True):
        distiller, state = frepo(TASK, CONFIG), start_state(golden)
        real, label = (jnp.asarray(golden[f"start/{n}"]) for n in ("x_b", "label"))
        batch = Batch(real, label, jnp.arange(7), jnp.ones(7))

        @jax.jit
        def both(state: State):
            return distiller.step(state, batch, {}), distiller.gradient(
                state, batch, {}
            )

        found = []
        for _ in STEPS:
            (state, metrics), (change, _) = both(state)
            found.append((state, metrics, change))
        return found


def assert_close(ours, theirs, rtol):
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * abs(theirs).max())


@pytest.mark.parametrize("number", STEPS)
def test_frepo_loss_and_gradient(golden, steps, number):
    _, metrics, gradient = steps[number - 1]
    rtol = 1e-9 if number == 1 else 1e-7
    assert_close(metrics["loss"], golden[f"step{number}/loss"], rtol)
    assert_close(gradient["image"], golden[f"step{number}/gradient_x_s"], rtol)
    assert_close(gradient["target"], golden[f"step{number}/gradient_y_s"], rtol)


@pytest.mark.parametrize("number", STEPS)
def test_frepo_set_after_the_lamb_step(golden, steps, number):
    params = steps[number - 1][0].params
    assert_close(params["image"], golden[f"step{number}/x_s"], 1e-8)
    assert_close(params["target"], golden[f"step{number}/y_s"], 1e-8)


@pytest.mark.parametrize("number", STEPS)
def test_frepo_network_after_its_own_step(golden, steps, number):
    pool = steps[number - 1][0].pool
    expected = variables_of(golden, f"step{number}")
    assert jax.tree.structure(pool.variables) == jax.tree.structure(expected)
    pairs = zip(*map(jax.tree.leaves, (pool.variables, expected)), strict=True)
    for ours, theirs in pairs:
        assert_close(ours[0], theirs, 1e-8)
    assert pool.age.tolist() == [number]
