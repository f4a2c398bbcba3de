"""Analytic kernels against neural-tangents.

The arrays come from experiments/reference/kernels/kernels_jax.py, which ran the
released neural-tangents 0.6.5 (google/neural-tangents, Apache-2.0) in float64.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import kernels
from jaxdd.records import Architecture, Conv, Fc, KernelSpec, WideKernel

GOLDEN = Path(__file__).parent / "golden" / "kernels.npz"
CASES = sorted({name.split("/")[0] for name in np.load(GOLDEN).files})


def spec_of(case: str, name: str) -> KernelSpec:
    """Architecture, depth, pooling and activation are in the name of a case."""
    architecture, depth, pooling, activation = case.split("-")
    layers: Any = {"fc": Fc(int(depth)), "conv": Conv(int(depth), pooling)}  # pyright: ignore
    known = layers.get(architecture, Architecture(architecture))  # pyright: ignore
    return WideKernel(name, known, activation)  # pyright: ignore


@pytest.mark.parametrize("case", CASES)
def test_kernels_are_those_of_neural_tangents(case, x64):
    with np.load(GOLDEN) as file:
        arrays = {
            n.split("/")[1]: file[n] for n in file.files if n.startswith(case + "/")
        }
    x1, x2 = jnp.asarray(arrays["x1"]), jnp.asarray(arrays["x2"])
    names = [name for name in ("ntk", "nngp") if name in arrays]
    made = {n: kernels.named(spec_of(case, n), x1.shape[1:]) for n in names}
    found = jax.jit(lambda a, b: {n: kernel(a, b) for n, kernel in made.items()})(
        x1, x2
    )
    for name in names:
        np.testing.assert_allclose(found[name], arrays[name], rtol=1e-12)
    if "gradient" in arrays:
        slope = jax.jit(jax.grad(lambda x: (made["ntk"](x, x2) ** 2).sum()))(x1)
        np.testing.assert_allclose(slope, arrays["gradient"], rtol=1e-8, atol=1e-11)
