"""Two outer steps of RaT-BPTT against the authors' program, in float64.

The arrays come from `experiments/reference/bilevel/rat_bptt_torch.py`, which runs
fengyzpku/Simple_Dataset_Distillation: rows drawn, meta-gradients of images and labels,
the average of their norms, and the set after Adam. One case trains by Adam with learned
labels, the other by SGD on some classes a step.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdd import unroll
from jaxdd.base import Batch, Pool, Task, Variables
from jaxdd.methods.bilevel import _unrolled
from jaxdd.methods.bilevel import rat_bptt as method
from jaxdd.records import (
    Adam,
    AugmentSpec,
    ConvNet,
)
from tests.helpers import toy_corpus

TASK = Task((8, 8, 3), 3, 9, 3, 2, 36)
_BASE = method.RatBpttConfig(
    network=ConvNet(width=(6, 6), norm="none", conv="rows"),
    inner_steps=3,
    total=7,
    policy="fixed",
    batch=10,
    augment=AugmentSpec(),
    optimiser=Adam(0.003),
)
CONFIGS = {
    "adam": dataclasses.replace(_BASE, rate=0.01, labels="learned"),
    "sgd": dataclasses.replace(_BASE, rate=0.05, network_optimiser="sgd"),
}


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden" / "rat_bptt.npz") as file:
        return {name: file[name] for name in file}


def variables_of(arrays, case, step):
    """The authors' weights in the tree of our ConvNet."""
    take = lambda name: arrays[f"{case}/network/{name}"][step]
    params = {
        f"conv_{block}": {
            "kernel": take(f"features.{place}.weight").transpose(2, 3, 1, 0),
            "bias": take(f"features.{place}.bias"),
        }
        for block, place in enumerate((0, 3))
    }
    weight = take("classifier.weight").reshape(3, -1, 2, 2)
    params["head"] = {
        "kernel": weight.transpose(2, 3, 1, 0).reshape(-1, 3),
        "bias": take("classifier.bias"),
    }
    return Variables(jax.tree.map(jnp.asarray, params), {})


def recorded(variables):
    """A pool that gives these weights."""
    return Pool(
        lambda key, assets, synthetic: (),
        lambda key, pool, assets: (jnp.zeros((), jnp.int32), variables),
        lambda key, pool, index, synthetic, batch: pool,
    )


def distiller_of(golden, case, step, monkeypatch):
    """The method with the authors' weights, rows and window."""
    rows = jnp.asarray(golden[f"{case}/rows"][step])
    pool = recorded(variables_of(golden, case, step))
    monkeypatch.setattr(method, "fresh", lambda network: pool)
    monkeypatch.setattr(
        _unrolled,
        "drawn_rows",
        lambda *_, **__: lambda key, number, classes: rows[number],
    )
    # Where epsilon is added differs in theirs; this one is too small to matter.
    monkeypatch.setattr(
        unroll, "Adam", lambda: unroll.inner.Adam(eps=1e-14, eps_root=1e-40)
    )
    config = dataclasses.replace(CONFIGS[case], first=int(golden[f"{case}/start"]))
    return method.rat_bptt(TASK, config)


def batch_of(golden, case, step):
    label = jnp.asarray(golden[f"{case}/real_label"][step])
    image = jnp.asarray(golden[f"{case}/real_image"][step])
    return Batch(image, label, jnp.arange(10), jnp.ones(10), step=jnp.asarray(step))


def params_of(golden, case, step):
    params = {"image": jnp.asarray(golden[f"{case}/image"][step])}
    if case == "adam":
        params["target"] = jnp.asarray(golden[f"{case}/label"][step])
    return params


@pytest.mark.slow_cases("adam")
@pytest.mark.parametrize("case", CONFIGS)
def test_rat_bptt_makes_the_authors_steps(golden, case, x64, monkeypatch, key):
    state, corpus, opt = None, toy_corpus(classes=3, channels=3), None
    params, outer = params_of(golden, case, 0), method._outer(TASK, CONFIGS[case])
    for step in range(2):
        distiller = distiller_of(golden, case, step, monkeypatch)
        if state is None:
            state, opt = distiller.init(key, corpus, {}), outer.init(params)
            assert jax.tree.structure(params) == jax.tree.structure(state.params)
        batch = batch_of(golden, case, step)
        gradient, metrics = jax.jit(distiller.gradient)(
            state._replace(params=params), batch, {}
        )
        logits, label = golden[f"{case}/logits"][step], np.asarray(batch.target)
        shifted = logits - logits.max(1, keepdims=True)
        rows = np.log(np.exp(shifted).sum(1)) - shifted[np.arange(10), label]
        np.testing.assert_allclose(metrics["loss"], rows.mean(), rtol=1e-9)
        expected = golden[f"{case}/gradient"][step]
        np.testing.assert_allclose(
            gradient["image"], expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max()
        )
        if case == "adam":
            labels = golden["adam/label_gradient"][step]
            np.testing.assert_allclose(gradient["target"], labels, rtol=1e-6, atol=1e-9)
        updates, opt = outer.update(gradient, opt, params)
        params = optax.apply_updates(params, updates)
        # Adam's first step is the sign of the gradient, also where that is rounding.
        clear = np.abs(expected) > 1e-6 * np.abs(expected).max()
        moved = golden[f"{case}/moved"][step]
        np.testing.assert_allclose(
            np.asarray(params["image"])[clear], moved[clear], rtol=0, atol=1e-7
        )
        params["image"] = jnp.asarray(moved)
        if case == "adam":
            params = method._decoder(TASK, CONFIGS[case]).project(params)
            np.testing.assert_allclose(
                params["target"], golden["adam/label"][step + 1], atol=1e-7
            )


def test_the_second_gradient_was_clipped(golden):
    """The golden steps exercise the clipping by the average."""
    norm = lambda name: np.sqrt((golden[f"adam/{name}"] ** 2).sum((1, 2, 3, 4)))
    gradient, clipped = norm("gradient"), norm("clipped")
    average = golden["adam/average"]
    np.testing.assert_allclose(average[1], 0.9 * gradient[0] + 0.1 * gradient[1])
    np.testing.assert_allclose(clipped[0], gradient[0])
    np.testing.assert_allclose(clipped[1], 2 * average[1], rtol=1e-4)
    assert clipped[1] < 0.5 * gradient[1]
