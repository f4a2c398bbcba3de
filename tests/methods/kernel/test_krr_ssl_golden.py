"""Two steps of KRR-ST against the authors' program, in float64.

The arrays come from `experiments/reference/kernel/krr_st_torch.py`, which runs
db-Lee/selfsup_dd: loss, gradients, the set after each AdamW step, and the network after
each step of its own training (parameters, momenta, batch norm statistics).
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdd.base import Batch, State, Task, Variables
from jaxdd.methods.kernel.krr_ssl import KrrSslConfig, krr_ssl
from jaxdd.pools.online import OnlinePool
from jaxdd.records import (
    AdamW,
    ConvNet,
    Decay,
    Teacher,
    Views,
)
from jaxdd.training import optimisers

SHAPE, OUTPUTS, BODY = (8, 8, 3), 4, ConvNet(width=(3, 4), norm="batch")
STEPS = (1, 2)


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden" / "krr_ssl.npz") as file:
        return {name: file[name] for name in file}


CONFIG = KrrSslConfig(
    network=BODY,
    pool=1,
    optimiser=AdamW(1e-2, schedule=Decay("linear", 1e-3)),
    batch=5,
    views=Views(),
    teacher=Teacher(network=BODY, represent="output", outputs=OUTPUTS),
)
# The learning rate falls over ten steps, of which two are made.
TASK = Task(SHAPE, 0, 6, None, 10, 5)


def variables_of(arrays, prefix):
    """Parameters and statistics of their network in our structure."""
    names = {"conv": ("kernel", "bias"), "norm": ("scale", "shift")}
    params, stats = {}, {}
    for number in range(len(BODY.width)):
        block = f"{prefix}/block{number}"
        for layer, (weight, bias) in names.items():
            values = {"kernel" if layer == "conv" else "scale": weight, "bias": bias}
            params[f"{layer}_{number}"] = {
                ours: arrays[f"{block}/{theirs}"] for ours, theirs in values.items()
            }
        if f"{block}/mean" in arrays:
            stats[f"norm_{number}"] = {
                name: arrays[f"{block}/{name}"] for name in ("mean", "var")
            }
    params["head"] = {
        name: arrays[f"{prefix}/head/{name}"] for name in ("kernel", "bias")
    }
    return Variables(params, stats)


def start_state(arrays):
    """The state before their first step: fresh optimisers, one network of age 0."""
    params = {"image": arrays["start/x_s"], "target": arrays["start/y_s"]}
    variables = variables_of(arrays, "start")
    params, variables = jax.tree.map(jnp.asarray, (params, variables))
    inner = optimisers.build(CONFIG.network_optimiser, CONFIG.max_age)
    member = (variables, inner.init(variables.params))
    none = jnp.zeros(1, jnp.int32)
    return State(
        step=jnp.int32(0),
        key=jax.random.key(0),
        params=params,
        opt=optimisers.build(CONFIG.optimiser, TASK.num_steps).init(params),
        pool=OnlinePool(*jax.tree.map(lambda leaf: leaf[None], member), none, none),
    )


@pytest.fixture(scope="module")
def steps(golden):
    """(state after, metrics, gradient) of each step."""
    with jax.enable_x64(True):
        distiller, state = krr_ssl(TASK, CONFIG), start_state(golden)
        real = (jnp.asarray(golden[f"start/{name}"]) for name in ("x_b", "y_b"))
        batch = Batch(*real, jnp.arange(5), jnp.ones(5))
        step = jax.jit(lambda s: distiller.step(s, batch, {}))
        gradient = jax.jit(lambda s: distiller.gradient(s, batch, {})[0])
        found = []
        for _ in STEPS:
            change = gradient(state)
            state, metrics = step(state)
            found.append((state, metrics, change))
        return found


def assert_close(ours, theirs, rtol):
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * abs(theirs).max())


# The second step starts where optax's learning rate, rounded to float32, led.
@pytest.mark.parametrize(("number", "rtol"), [(1, 1e-11), (2, 1e-7)])
def test_loss_and_gradient(golden, steps, number, rtol):
    _, metrics, gradient = steps[number - 1]
    assert_close(metrics["loss"], golden[f"step{number}/loss"], rtol)
    assert_close(gradient["image"], golden[f"step{number}/gradient_x_s"], rtol)
    assert_close(gradient["target"], golden[f"step{number}/gradient_y_s"], rtol)


@pytest.mark.parametrize("number", STEPS)
def test_set_after_the_outer_step(golden, steps, number):
    state = steps[number - 1][0]
    assert_close(state.params["image"], golden[f"step{number}/x_s"], 1e-8)
    assert_close(state.params["target"], golden[f"step{number}/y_s"], 1e-8)


@pytest.mark.parametrize("number", STEPS)
def test_network_after_its_own_step(golden, steps, number):
    state = steps[number - 1][0]
    momentum = optax.tree.get(state.pool.opt, "trace")
    expected = variables_of(golden, f"step{number}")
    expected_momentum = variables_of(golden, f"step{number}/momentum").params
    ours = (state.pool.variables, momentum)
    theirs = (expected, expected_momentum)
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert_close(a[0], b, 1e-8)
    assert state.pool.age.tolist() == [number]
