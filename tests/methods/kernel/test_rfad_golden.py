"""Two steps of RFAD against the authors' program, in float64.

The arrays come from `experiments/reference/kernel/rfad_torch.py`, which runs
yolky/RFAD: real images, networks, loss, gradients and the set after each AdaBelief
step, with the Platt loss and learned labels, and with squared error and fixed ones; and
the first judgement.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import networks, tree
from jaxdd.base import Batch, Pool, Synthetic, Task, Variables
from jaxdd.composition import compose
from jaxdd.kernels.ridge import RFAD
from jaxdd.methods.kernel import rfad as module
from jaxdd.methods.kernel.rfad import RfadConfig
from jaxdd.objectives.kernel_regression import kernel_regression, random_feature_blocks
from jaxdd.records import (
    AdaBelief,
    ConvNet,
)
from tests.helpers import toy_corpus

SHAPE, CLASSES, IPC = (4, 4, 2), 3, 2
TASK = Task(SHAPE, CLASSES, CLASSES * IPC, IPC, 2, 20)
BODY = ConvNet(width=(5, 5), norm="none", initialiser="he")
STEPS = (1, 2)


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden" / "rfad.npz") as file:
        return {name: file[name] for name in file}


def variables_of(golden, prefix):
    params = {
        f"conv_{block}": {
            name: jnp.asarray(golden[f"{prefix}conv{block}/{name}"])
            for name in ("kernel", "bias")
        }
        for block in range(len(BODY.width))
    }
    return Variables(params, {})


@pytest.fixture(scope="module", params=["platt", "mse"])
def run(request, golden):
    """Each step's state, metrics and gradient, ours; and the name of the case."""
    case = request.param
    config = RfadConfig(
        network=BODY,
        members=2,
        loss=case,
        learn_labels=case == "platt",
        optimiser=AdaBelief(1e-2),
        batch=10,
        held_out=0,
    )
    with jax.enable_x64(True):
        return case, _steps(golden, case, config)


def _steps(golden, case, config):
    network = networks.build(BODY, SHAPE, 0)
    objective = kernel_regression(
        random_feature_blocks(network), RFAD, CLASSES, loss=case
    )
    given = [variables_of(golden, f"{case}/step{number}/") for number in STEPS]
    stack = jax.tree.map(lambda *leaves: jnp.stack(leaves), *given)

    # The networks of each step in turn, counted by the pool's state.
    pool = Pool(
        init=lambda key, assets, synthetic: jnp.int32(0),
        draw=lambda key, number, assets: (number, tree.take(stack, number)),
        update=lambda key, number, *rest: number + 1,
    )
    ours = compose(
        decoder=module._decoder(TASK, config),
        objective=objective,
        pool=pool,
        outer=module._outer(TASK, config),
        feed=module.rfad(TASK, config).feed,
    )

    @jax.jit
    def both(state, batch):
        return ours.step(state, batch, {}), ours.gradient(state, batch, {})[0]

    corpus = toy_corpus(per_class=4, classes=CLASSES, side=4, channels=2)
    state = ours.init(jax.random.key(0), corpus, {})
    start = jnp.asarray(golden[f"{case}/start_image"])
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), state.params)
    params = {**params, "image": start}
    if "target" in params:
        rows = jnp.repeat(jnp.eye(CLASSES), IPC, axis=0) - 1 / CLASSES
        params = {**params, "target": rows}
    state = state._replace(params=params, opt=module._outer(TASK, config).init(params))
    found = []
    for number in STEPS:
        rows = golden[f"{case}/rows"][number - 1]
        batch = Batch(
            jnp.asarray(golden[f"{case}/real_image"][rows]),
            jnp.asarray(golden[f"{case}/real_label"][rows]),
            jnp.asarray(rows),
            jnp.ones(len(rows)),
        )
        (state, metrics), gradient = both(state, batch)
        found.append((state, metrics, gradient))
    return found


def assert_close(ours, theirs, rtol):
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * abs(theirs).max())


# The second step starts where optax's learning rate, rounded to float32, led.
@pytest.mark.parametrize(("number", "rtol"), [(1, 1e-10), (2, 1e-6)])
def test_loss_gradient_and_set_are_those_of_the_authors(golden, run, number, rtol):
    case, found = run
    state, metrics, gradient = found[number - 1]
    prefix = f"{case}/step{number}/"
    assert_close(metrics["loss"], golden[f"{prefix}loss"], rtol)
    hyper = {"log_scale": "hyper"} if case == "platt" else {}
    names = {n: n for n in ("image", "transform", *["target"] * (case == "platt"))}
    for theirs, ours in (names | hyper).items():
        slope, value = gradient[ours], state.params[ours]
        if theirs == "log_scale":
            slope, value = slope["log_scale"], value["log_scale"]
        assert_close(slope, golden[f"{prefix}gradient_{theirs}"], rtol)
        assert_close(value, golden[prefix + theirs], 1e-6)


@pytest.mark.parametrize("case", ["platt", "mse"])
def test_first_judgement_is_theirs(golden, case):
    """Sixteen networks on held images; their features are float32."""
    blocks = random_feature_blocks(networks.build(BODY, SHAPE, 0))
    objective = kernel_regression(blocks, RFAD, CLASSES, loss=case)
    start, image, label = (
        jnp.asarray(golden[f"{case}/{name}"])
        for name in ("start_image", "held_image", "held_label")
    )
    classes = jnp.repeat(jnp.arange(CLASSES), IPC)
    hyper = {"log_scale": jnp.zeros(())}
    synthetic = Synthetic(start, classes, jnp.ones(len(start)), hyper)
    held = Batch(image, label, label, jnp.ones(len(label)))
    variables = variables_of(golden, f"{case}/held_")
    loss, _ = jax.jit(objective)(synthetic, held, variables, {}, jax.random.key(0))
    np.testing.assert_allclose(loss, golden[f"{case}/held_loss"], rtol=1e-4)
