"""The door to neural-tangents: clean behind it, and a message where it is missing."""

import subprocess
import sys

import numpy as np
import pytest

from jaxdd import kernels
from jaxdd.errors import InputError
from jaxdd.kernels import _neural_tangents
from jaxdd.records import (
    Fc,
    WideKernel,
)

PROGRAM = """
import dataclasses
import sys
import warnings
import jax
import numpy as np
from jaxdd import kernels
from jaxdd.records import Conv, Fc, WideKernel

jax.config.update("jax_enable_x64", True)
before = set(vars(jax.core))
stax = kernels.stax()
left = [m for m in ("jax.util", "tensorflow", "neural_tangents.experimental")
        if m in sys.modules]
assert not left, left
assert before == set(vars(jax.core)), set(vars(jax.core)) - before
assert not hasattr(jax, "util")
x = np.random.default_rng(0).standard_normal((2, 4, 4, 1))
for spec in (WideKernel("ntk", Fc(2)), WideKernel("nngp", Conv(1, "average")),
             WideKernel("ntk", Conv(1, "global"), "erf")):
    other = dataclasses.replace(spec, backend="neural_tangents")
    ours, theirs = (jax.jit(kernels.named(s, (4, 4, 1)))(x[:1], x[1:] + 1)
                    for s in (spec, other))
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)
layers = stax.Dense(1), stax.Gelu(), stax.Dense(1)
kernel = kernels.from_stax(stax.serial(stax.Flatten(), *layers)[2], "nngp")
slope = jax.grad(lambda x: kernel(x, x).sum())(x)
assert np.isfinite(slope).all()
print("agreed")
"""


@pytest.fixture
def missing(monkeypatch):
    monkeypatch.setattr(_neural_tangents, "available", lambda: False)
    kernels.stax.cache_clear()
    yield
    kernels.stax.cache_clear()


def test_missing_extra_is_named(missing):
    with pytest.raises(InputError, match=r"jaxdd\[ntk\]"):
        kernels.stax()
    with pytest.raises(InputError, match=r"jaxdd\[ntk\]"):
        kernels.named(WideKernel("ntk", Fc(7), backend="neural_tangents"), (4, 4, 1))


def test_from_stax_calls_with_what_to_get():
    kernel = kernels.from_stax(
        lambda x1, x2, get: x1 @ x2.T * (2 if get == "ntk" else 1)
    )
    x = np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(kernel(x, x), np.full((2, 2), 6))
    with pytest.raises(InputError, match="get='nntk' is unknown"):
        kernels.from_stax(lambda *_: None, "nntk")


def test_neural_tangents_agrees_and_leaves_nothing_behind():
    if not _neural_tangents.available():
        pytest.skip("neural-tangents is not installed; golden values stand for it")
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.stdout.strip() == "agreed", done.stderr[-2000:]
