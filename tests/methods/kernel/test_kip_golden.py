"""KIP's steps and solved labels against an independent program, in float64.

The arrays come from `experiments/reference/kernel/kip_torch.py`: formulas of the
notebook, kernels by a recursion of its own, gradients and Adam by PyTorch, labels by
NumPy.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import kernels
from jaxdd.base import Batch, State, Task
from jaxdd.kernels.ridge import KIP
from jaxdd.methods.kernel.kip import KipConfig, kip
from jaxdd.objectives.label_solve import solved_labels
from jaxdd.records import (
    Fc,
    WideKernel,
)
from jaxdd.training import optimisers
from tests.helpers import toy_corpus

SHAPE, CLASSES, IPC, REAL = (4, 4, 1), 3, 2, 9
TASK = Task(SHAPE, CLASSES, CLASSES * IPC, IPC, 2, CLASSES * REAL)
CASES = {"fc1": (1, False), "fc2_labels": (2, True)}


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden" / "kip.npz") as file:
        return {name: file[name] for name in file}


def assert_close(ours, theirs, rtol):
    theirs = np.asarray(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=rtol * abs(theirs).max())


@pytest.mark.parametrize("case", CASES)
def test_two_steps(golden, case, x64):
    depth, learn = CASES[case]
    config = KipConfig(
        kernel=WideKernel("ntk", Fc(depth)),
        learn_labels=learn,
        batch=CLASSES * REAL,
    )
    method = kip(TASK, config)
    params = {"image": jnp.asarray(golden[f"{case}/start_image"])}
    if learn:
        rows = jnp.repeat(jnp.eye(CLASSES), IPC, axis=0)
        params["target"] = rows - 1 / CLASSES
    opt = optimisers.build(config.optimiser, 2).init(params)
    state = State(jnp.int32(0), jax.random.key(0), params, opt)

    @jax.jit
    def both(state, batch):
        return method.step(state, batch, {}), method.gradient(state, batch, {})[0]

    # On the diagonal of K_ss the derivative of the angle is 0 but for rounding's root.
    # The second step starts where optax's learning rate, rounded to float32, led.
    for number, rtol in ((1, 2e-8), (2, 1e-6)):
        real = jnp.asarray(golden[f"{case}/real_image"][number - 1])
        label = jnp.repeat(jnp.arange(CLASSES)[:, None], REAL, axis=1)
        batch = Batch(real, label, label, jnp.ones(label.shape))
        (state, metrics), gradient = both(state, batch)
        prefix = f"{case}/step{number}/"
        assert_close(metrics["loss"], golden[f"{prefix}loss"], rtol / 10)
        for name, value in gradient.items():
            assert_close(value, golden[f"{prefix}gradient_{name}"], rtol)
            assert_close(state.params[name], golden[prefix + name], 1e-6)
        assert set(gradient) == set(params)


@pytest.mark.parametrize("case", CASES)
def test_solved_labels(golden, case, x64):
    """Streamed by a triangle, in blocks of seven rows; theirs by the pseudo-inverse."""
    spec = WideKernel("ntk", Fc(CASES[case][0]))
    real = golden[f"{case}/real_image"][0].reshape(-1, *SHAPE)
    corpus = dataclasses.replace(
        toy_corpus(per_class=REAL, classes=CLASSES, side=4),
        image=jnp.asarray(real * 255),  # the pixels of numbers are them over 255
        label=jnp.repeat(jnp.arange(CLASSES), REAL),
    )
    found = solved_labels(
        kernels.named(spec, SHAPE),
        jnp.asarray(golden[f"{case}/start_image"]),
        corpus,
        KIP,
        rows=7,
        rcond=1e-14,
    )
    assert_close(found, golden[f"{case}/solved"], 1e-8)
