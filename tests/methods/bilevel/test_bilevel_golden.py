"""One outer step of DD, BPTT and RTP against adjoint recursions written out in NumPy.

The arrays come from `experiments/reference/bilevel/bilevel_numpy.py`, which shares
nothing with the package; float64.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Batch, Pool, Task, Variables
from jaxdd.methods.bilevel import _unrolled, bptt, dd, rtp
from jaxdd.records import AdjointSpec, Mlp, Sgd
from tests.helpers import toy_corpus

TASK = Task((4, 4, 1), 3, 6, 2, 10, 36)
NETWORK = Mlp(width=(5,))
LONG = {
    "network": NETWORK,
    "inner_steps": 4,
    "rate": 0.2,
    "weight_decay": 0.01,
    "batch": 7,
}
ADJOINTS = ("none", "step", "nested", "fused", "mixed")


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden" / "bilevel.npz") as file:
        return {name: file[name] for name in file}


def recorded(golden):
    """A pool that gives the recorded weights."""
    first, first_bias, last, last_bias = (golden[f"weights/{i}"] for i in range(4))
    params = {
        "dense_0": {"kernel": first, "bias": first_bias},
        "head": {"kernel": last, "bias": last_bias},
    }
    variables = Variables(jax.tree.map(jnp.asarray, params), {})
    return Pool(
        lambda key, assets, synthetic: (),
        lambda key, pool, assets: (jnp.zeros((), jnp.int32), variables),
        lambda key, pool, index, synthetic, batch: pool,
    )


def prepare(golden, module, name, monkeypatch):
    """The recorded weights and rows in place of drawn ones."""
    monkeypatch.setattr(module, "fresh", lambda network: recorded(golden))
    if f"{name}/rows" in golden:
        rows = jnp.asarray(golden[f"{name}/rows"])
        choose = lambda key, number, classes: rows[number]
        monkeypatch.setattr(module, "drawn_rows", lambda *_, **__: choose)


def batch_of(golden, balanced=True):
    image = jnp.asarray(golden["real"])
    label = jnp.repeat(jnp.arange(3), 7).reshape(3, 7)
    batch = Batch(image, label, label, jnp.ones((3, 7)))
    if balanced:
        return batch
    flat = [p.reshape(21, *p.shape[2:]) for p in batch[:4]]
    return Batch(*flat)


def check(distiller, params, batch, loss, expected, key):
    """Loss and gradients; the state is that of `init` but for the parameters."""
    state = distiller.init(key, toy_corpus(classes=3, side=4), {})
    assert jax.tree.structure(params) == jax.tree.structure(state.params)
    state = state._replace(params=jax.tree.map(jnp.asarray, params))
    gradient, metrics = jax.jit(distiller.gradient)(state, batch, {})
    np.testing.assert_allclose(metrics["loss"], loss, rtol=1e-12)
    for one, other in zip(
        jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True
    ):
        np.testing.assert_allclose(
            one, other, rtol=1e-10, atol=1e-12 * np.abs(other).max()
        )
    return state


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_dd_follows_its_adjoint(golden, adjoint, x64, monkeypatch, key):
    prepare(golden, dd, "dd", monkeypatch)
    config = dd.DdConfig(
        NETWORK, batches=2, passes=2, batch=21, adjoint=AdjointSpec(adjoint)
    )
    take = lambda image, raw: {
        "image": golden[f"dd/{image}"],
        "hyper": {"raw_rates": golden[f"dd/{raw}"]},
    }
    check(
        dd.dd(TASK, config),
        take("image", "raw"),
        batch_of(golden, balanced=False),
        golden["dd/loss"],
        take("by_image", "by_raw"),
        key,
    )


@pytest.mark.parametrize("adjoint", ADJOINTS)
def test_bptt_follows_its_adjoint(golden, adjoint, x64, monkeypatch, key):
    prepare(golden, _unrolled, "bptt", monkeypatch)
    config = bptt.BpttConfig(
        **LONG,
        optimiser=Sgd(0.1, 0.5),
        clip=0.05,
        adjoint=AdjointSpec(adjoint),
    )
    distiller = bptt.bptt(TASK, config)
    state = check(
        distiller,
        {"image": golden["bptt/image"]},
        batch_of(golden),
        golden["bptt/loss"],
        {"image": golden["bptt/by_image"]},
        key,
    )
    if adjoint == "step":
        moved, _ = jax.jit(distiller.step)(state, batch_of(golden), {})
        np.testing.assert_allclose(
            moved.params["image"], golden["bptt/moved"], rtol=1e-10
        )


def test_rtp_follows_its_adjoint(golden, x64, monkeypatch, key):
    prepare(golden, _unrolled, "rtp", monkeypatch)
    config = rtp.RtpConfig(**LONG, bases=3, downscale=2, images_per_class=4)
    names = ("basis", "coefficient")
    check(
        rtp.rtp(TASK, config),
        {name: golden[f"rtp/{name}"] for name in names},
        batch_of(golden),
        golden["rtp/loss"],
        {name: golden[f"rtp/by_{name}"] for name in names},
        key,
    )
