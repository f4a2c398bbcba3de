"""A step of RCIG against the authors' program, in float64.

The arrays come from `experiments/reference/kernel/rcig_jax.py`, which runs yolky/RCIG
(commit a9fb1fa): the inner solution, the gradient's two terms and the system between
them, the set after the AdaBelief step and the network after its own steps.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from jaxdd import networks
from jaxdd.base import Batch, State, Synthetic, Task, Variables
from jaxdd.kernels import Ridge
from jaxdd.methods.kernel._rates import Rates
from jaxdd.methods.kernel.rcig import RcigConfig, rcig
from jaxdd.objectives.labelled import with_mirrors
from jaxdd.objectives.linearised import (
    Solver,
    body_of,
    inner_problem,
    minimise,
    solve,
)
from jaxdd.pools.online import OnlinePool
from jaxdd.records import (
    ConvNet,
    Softplus,
)
from jaxdd.training import optimisers

SHAPE, CLASSES, REAL = (8, 8, 3), 6, 7
RATES = 2e-3, 0.5
CONFIG = RcigConfig(
    network=ConvNet(width=(3, 6), norm="none", conv="stock", activation=Softplus()),
    pool=1,
    visit=(2, 2),
    ridge=5e-2,
    linear_rate=RATES[0],
    system_rate=RATES[1],
    last_layer="as_released",
    batch=REAL,
)
TASK = Task(SHAPE, CLASSES, CLASSES, 1, 10, REAL)
LAYERS = {"conv_0": "Conv_0", "conv_1": "Conv_1", "head": "Dense_0"}


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden" / "rcig.npz") as file:
        return {name: file[name] for name in file}


def params_of(arrays, prefix):
    """A tree of theirs, of weights or of their changes, in our structure."""
    return {
        name: {part: arrays[f"{prefix}/{layer}/{part}"] for part in ("bias", "kernel")}
        for name, layer in LAYERS.items()
    }


def vector_of(arrays, prefix):
    return np.asarray(ravel_pytree(params_of(arrays, prefix))[0])


@pytest.fixture(scope="module")
def found(golden):
    """The inner solution, the solved system, the gradient, the next state."""
    with jax.enable_x64(True):
        return {name: jax.device_get(part) for name, part in _found(golden).items()}


def _found(golden):
    distiller = rcig(TASK, CONFIG)
    real, label = (jnp.asarray(golden[f"start/{n}"]) for n in ("x_b", "label"))
    batch = Batch(real, label, jnp.arange(REAL), jnp.ones(REAL))
    params = {
        "image": jnp.asarray(golden["start/x_s"]),
        "target": jnp.asarray(golden["start/y_s"]),
        "hyper": {"log_temperature": jnp.zeros(())},
    }
    net = jax.tree.map(jnp.asarray, params_of(golden, "start/net"))
    adam = optimisers.build(CONFIG.network_optimiser, CONFIG.max_age)
    inner = optax.chain(optax.scale(0.5), adam)
    alone = lambda tree: jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], tree)
    pool = OnlinePool(
        alone(Variables(net, {})),
        alone(inner.init(net)),
        jnp.zeros(1, jnp.int32),
        jnp.zeros(1, jnp.int32),
    )
    counts = [jnp.zeros((), jnp.int32)] * 3
    rates = Rates(*map(jnp.asarray, RATES), *counts)
    zero = jnp.zeros((), jnp.int32)
    state = State(
        zero, jax.random.key(0), params, first_opt(params), pool, (params, rates)
    )

    @jax.jit
    def run(state: State):
        spec = CONFIG.network
        network = networks.build(spec, SHAPE, CLASSES)
        body = body_of(network, Variables(net, {}), "as_released")
        small = with_mirrors(synthetic_of(params))
        lam = Ridge(CONFIG.ridge * CLASSES, "none")
        problem = inner_problem(body, small.image, small.target, lam)
        change, values = minimise(problem, Solver(), RATES[0])
        slope = ravel_pytree(jax.tree.map(jnp.asarray, params_of(golden, "slope")))[0]
        vector, system = solve(problem, slope, Solver(), RATES[1])
        gradient, _ = distiller.gradient(state, batch, {})
        after, metrics = distiller.step(state, batch, {})
        return {
            "change": change,
            "values": values,
            "vector": vector,
            "system": system,
            "gradient": gradient,
            "params": after.params,
            "net": after.pool.variables.params,
            "age": after.pool.age,
            "loss": metrics["loss"],
        }

    return run(state)


def first_opt(params):
    """The optimiser's first state, which no rate enters."""
    build = lambda: optimisers.build(CONFIG.optimiser, TASK.num_steps)
    return optimisers.by_part({name: build() for name in params}).init(params)


def synthetic_of(params):
    ones = jnp.ones(len(params["image"]))
    return Synthetic(params["image"], params["target"], ones, params["hyper"])


def assert_close(ours, theirs, rtol):
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * abs(theirs).max())


def test_rcig_inner_solution(golden, found):
    assert_close(found["change"], vector_of(golden, "inner/change"), 1e-6)
    # Their losses are rounded to float32.
    assert_close(found["values"], golden["inner/losses"], 1e-6)


def test_rcig_system(golden, found):
    assert_close(found["vector"], vector_of(golden, "system/vector"), 1e-6)
    assert_close(found["system"], golden["system/residuals"], 1e-6)


def test_rcig_gradient_is_the_sum_of_its_terms(golden, found):
    """With the implicit term of each leaf shrunk to the direct one's norm."""
    names = {"image": "x_proto", "target": "y_proto"}
    for ours, theirs in names.items():
        direct, through = golden[f"direct/{theirs}"], golden[f"through/{theirs}"]
        norms = [np.linalg.norm(term) for term in (direct, through)]
        expected = direct + through * min(norms) / norms[1]
        assert_close(found["gradient"][ours], expected, 1e-6)
    assert_close(
        found["gradient"]["hyper"]["log_temperature"], golden["direct/log_temp"], 1e-8
    )
    assert_close(found["loss"], golden["loss"], 1e-6)


def test_rcig_set_and_network_after_the_step(golden, found):
    assert_close(found["params"]["image"], golden["after/x_proto"], 1e-7)
    assert_close(found["params"]["target"], golden["after/y_proto"], 1e-7)
    temperature = found["params"]["hyper"]["log_temperature"]
    assert_close(temperature, golden["after/log_temp"], 1e-7)
    expected = params_of(golden, "after/net")
    pairs = zip(*map(jax.tree.leaves, (found["net"], expected)), strict=True)
    for ours, theirs in pairs:
        assert_close(ours[0], theirs, 1e-6)
    assert found["age"].tolist() == [2]
