"""Steps of MTT, TESLA, FTD and DATM against their authors' programs, in float64.

The arrays come from experiments/reference/trajectory/trajectory_torch.py, which runs
GeorgeCazenavette/mtt-distillation, justincui03/tesla, AngusDujw/FTD-distillation and
NUS-HPC-AI-Lab/DATM on unequal batches and without augmentation.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxdd.base import Batch, ExpertsAsset, Segment, Task
from jaxdd.decoders.initial import soft_labels
from jaxdd.methods.trajectory._matching import judge
from jaxdd.methods.trajectory.datm import DatmConfig, datm
from jaxdd.methods.trajectory.ftd import FtdConfig, ftd
from jaxdd.methods.trajectory.mtt import MttConfig, mtt
from jaxdd.methods.trajectory.tesla import TeslaConfig, tesla
from jaxdd.objectives import trajectory
from jaxdd.records import ConvNet, Experts, Sgd
from tests.contract.cases import as_float64
from tests.helpers import toy_corpus

SHAPE, CLASSES, IPC, STEPS, BATCH = (8, 8, 3), 3, 2, 3, 4
TASK = Task(SHAPE, CLASSES, CLASSES * IPC, IPC, num_steps=3, train_size=24)
RATE = 0.1
EXPERTS = Experts(network=ConvNet(width=(4, 4), conv="stock"), epochs=4, count=2)
SETTINGS = {
    "experts": EXPERTS,
    "inner_steps": STEPS,
    "last": 2,
    "student_batch": BATCH,
    "optimiser": Sgd(20.0, 0.5),
    "rate": RATE,
    "rate_optimiser": Sgd(1e-3, 0.5),
}
DATM = DatmConfig(
    **SETTINGS,
    label_optimiser=Sgd(2.0, 0.9),
    ramp_from=1,
    ramp_steps=1,
    init="real",
)


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden" / "trajectory.npz") as file:
        return {name: file[name] for name in file if name != "origin"}


def snapshots(golden):
    """The experts as flat vectors [e,epochs+1,p]."""
    tree: dict = {}
    for path, value in golden.items():
        if path.startswith("experts/"):
            _, owner, leaf = path.split("/")
            tree.setdefault(owner, {})[leaf] = jnp.asarray(value)
    flat = lambda one: ravel_pytree(one)[0]
    return jax.vmap(jax.vmap(flat))(tree)


def rows_of(golden, name, number):
    """Rows [t,b] and weights of a step's batches, taken from the end of each order."""
    rows, weight = np.zeros((STEPS, BATCH), np.int32), np.zeros((STEPS, BATCH))
    pieces = []
    for order in golden[f"{name}/orders"][number]:
        pieces += [order[BATCH:], order[:BATCH]]
    for step, piece in enumerate(pieces[:STEPS]):
        rows[step, : len(piece)], weight[step, : len(piece)] = piece, 1
    return jnp.asarray(rows), jnp.asarray(weight)


def piece_of(golden, name, number):
    """The step's piece of a trajectory, with its leading axis."""
    experts = snapshots(golden)
    expert = number % len(experts)
    epoch = int(golden[f"{name}/epoch"][number])
    start, target = experts[expert, epoch], experts[expert, epoch + 2]
    numbers = jnp.asarray([epoch]), jnp.asarray([expert])
    return Segment(start[None], target[None, None], *numbers)


def with_rows(function, monkeypatch):
    """The jitted function, its chunks replaced by two further arguments."""
    box: list = []
    monkeypatch.setattr(trajectory, "chunks", lambda *_: tuple(box))

    @jax.jit
    def run(rows, weight, *args):
        box[:] = rows, weight
        return function(*args)

    return run


def params_of(golden, name):
    params = {
        "image": jnp.asarray(golden[f"{name}/image_first"]),
        "hyper": {"log_rate": jnp.log(jnp.asarray(RATE, jnp.float64))},
    }
    if f"{name}/label_first" in golden:
        params["target"] = jnp.asarray(golden[f"{name}/label_first"])
    return params


def batch_of(golden, name, number):
    return Batch(None, None, None, None, extra=piece_of(golden, name, number))


def state_of(distiller, params, golden):
    """A first state with these parameters."""
    corpus = toy_corpus(classes=CLASSES, channels=3)
    assets = {"experts": ExpertsAsset(snapshots(golden)[:, -1])}
    state = as_float64(distiller.init(jax.random.key(0), corpus, assets))
    same = jax.tree.structure(state.memory) == jax.tree.structure(params)
    return state._replace(params=params, memory=params if same else ())


def close(ours, theirs, tolerance=1e-9):
    scale = np.abs(theirs).max()
    assert scale > 0
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale)


def thinned(image):
    return image[:, ::2, ::2]


@pytest.mark.parametrize(
    ("name", "build", "config", "factor"),
    [
        ("mtt", mtt, MttConfig(**SETTINGS), 1),
        # The program doubles a tuple: its gradient of the images is half of this one.
        ("tesla", tesla, TeslaConfig(**SETTINGS), 2),
        ("datm", datm, dataclasses.replace(DATM, threshold=9.0), 1),
    ],
)
def test_gradients_equal_the_authors(
    name, build, config, factor, golden, monkeypatch, x64
):
    distiller = build(TASK, config)
    run = with_rows(distiller.gradient, monkeypatch)
    state = state_of(distiller, params_of(golden, name), golden)
    rows = rows_of(golden, name, 0)
    gradient, metrics = run(*rows, state, batch_of(golden, name, 0), {})
    np.testing.assert_allclose(metrics["loss"], golden[f"{name}/loss"][0], rtol=1e-11)
    close(thinned(gradient["image"]), factor * golden[f"{name}/image_gradient"][0])
    by_rate = gradient["hyper"]["log_rate"] / RATE
    np.testing.assert_allclose(by_rate, golden[f"{name}/rate_gradient"][0], rtol=1e-9)
    if "target" in gradient:
        close(gradient["target"], golden[f"{name}/label_gradient"][0])


@pytest.mark.parametrize("name", ["ftd", "datm"])
def test_sets_equal_the_authors_after_steps(name, golden, monkeypatch, x64):
    if name == "ftd":
        distiller = ftd(TASK, FtdConfig(**SETTINGS, ema=0.9))
    else:
        # The program's threshold lay just below the second step's loss.
        losses = golden["datm/loss"]
        assert losses[1] > max(losses[0], losses[2])
        config = dataclasses.replace(DATM, threshold=float(losses[1]) * 0.999)
        distiller = datm(TASK, config)
    run = with_rows(distiller.step, monkeypatch)
    state = state_of(distiller, params_of(golden, name), golden)
    for number, loss in enumerate(golden[f"{name}/loss"]):
        rows, batch = rows_of(golden, name, number), batch_of(golden, name, number)
        before = state
        state, metrics = run(*rows, state, batch, {})
        np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-10)
        close(thinned(state.params["image"]), golden[f"{name}/image"][number])
        if name == "ftd":
            close(thinned(state.memory["image"]), golden["ftd/average"][number])
        else:
            close(state.params["target"], golden["datm/label"][number])
            held = bool((state.params["image"] == before.params["image"]).all())
            assert held == (number == 1)
        # Ours learns the logarithm, so only the first step is the same.
        rate = golden[f"{name}/rate"][number]
        found = jnp.exp(state.params["hyper"]["log_rate"])
        np.testing.assert_allclose(found, rate, rtol=1e-2)
        state.params["hyper"]["log_rate"] = jnp.log(jnp.asarray(rate))


def test_soft_labels_start_as_the_authors(golden, x64):
    last = snapshots(golden)[:, -1]
    image = jnp.asarray(golden["datm/image_first"])
    label = jnp.repeat(jnp.arange(CLASSES), IPC)
    found = soft_labels(judge(TASK, DATM), ExpertsAsset(last), image, label, "average")
    close(found, golden["datm/label_first"])
