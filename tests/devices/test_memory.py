"""The memory that kernels may take, from the command line to the blocks."""

import jax
import numpy as np
import pytest

from jaxdd import kernels
from jaxdd.base import Task
from jaxdd.data.feeds import sample
from jaxdd.devices.mesh import memory_budget
from jaxdd.errors import InputError
from jaxdd.kernels.budget import required_bytes
from jaxdd.loop import hooks
from jaxdd.methods.kernel.kip import KipConfig, kip
from jaxdd.records import (
    Conv,
    WideKernel,
)
from tests.helpers import toy_corpus


def test_budget_in_bytes():
    assert memory_budget(1.5) == 1_500_000_000
    assert memory_budget(0) > 100_000_000  # half of the host's


@pytest.mark.parametrize("asked", [-1.0, float("nan")])
def test_budget_is_checked(asked):
    with pytest.raises(InputError, match=r"run.memory_budget="):
        memory_budget(asked)


def task(memory):
    return Task((8, 8, 1), 4, 8, 2, 3, 48, memory=memory)


@pytest.mark.slow
def test_kip_takes_blocks_that_fit_and_says_so(key):
    spec = WideKernel("ntk", Conv())
    corpus, config = toy_corpus(), KipConfig(spec, learn_labels=True, batch=32)
    shapes = (32, 8, 8, 1), (8, 8, 8, 1)
    whole = required_bytes(kernels.named(spec, (8, 8, 1)), *shapes)
    gradients = []
    for memory, words in ((0, ""), (whole, "at once"), (whole // 2, "in blocks of")):
        made = kip(task(memory), config)
        assert words in "".join(made.notes)
        state = made.init(key, corpus, {})
        batch = sample(made.feed, corpus, {}, state.key, state.step)
        assert made.gradient is not None
        gradients.append(jax.jit(made.gradient)(state, batch, {})[0])
    for other in gradients[1:]:
        for ours, whole in zip(
            *map(jax.tree.leaves, (other, gradients[0])), strict=True
        ):
            np.testing.assert_allclose(ours, whole, rtol=1e-3, atol=1e-5)


def test_kip_that_does_not_fit_says_the_bytes():
    with pytest.raises(InputError, match=r"takes [\d,]+ bytes even one pair.*1,000 b"):
        kip(task(1000), KipConfig(batch=32))


@pytest.mark.parametrize("sign", ["condition", "ridge"])
def test_a_kernel_that_is_not_finite_is_named(sign):
    bad = np.array([1.0, np.nan])
    metrics = {sign: bad, "loss": bad, "retries": np.zeros(2)}
    with pytest.raises(hooks.NonFiniteError, match=r"at step 1, because the kernel"):
        hooks.check_finite("distill", (0, 1), metrics, False)
    metrics[sign] = np.ones(2)
    with pytest.raises(hooks.NonFiniteError) as caught:
        hooks.check_finite("distill", (0, 1), metrics, False)
    assert "kernel" not in str(caught.value)
