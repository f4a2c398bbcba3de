"""Kernels of infinitely wide networks by neural-tangents 0.6.5, in float64.

The layers are written out here; of jaxdd only the door to the package is used, which
lets it import on JAX of today and without TensorFlow.

  pip install --no-deps neural-tangents==0.6.5 frozendict
  python experiments/reference/kernels/kernels_jax.py tests/kernels/golden/kernels.npz
"""

import argparse
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdd import kernels

WEIGHT, BIAS = 2**0.5, 0.1
CASES = {
    "fc-3-none-relu": (4, 5, 2),
    "fc-2-none-erf": (4, 5, 2),
    "conv-2-none-relu": (5, 6, 3),
    "conv-2-none-erf": (5, 6, 3),
    "conv-2-average-relu": (9, 8, 2),
    "conv-2-average-erf": (6, 8, 1),
    "conv-2-global-relu": (5, 6, 3),
    "conv-1-global-erf": (4, 3, 1),
    "convnet-1-none-relu": (14, 12, 1),
    "convnet3-1-none-relu": (8, 10, 3),
    "myrtle5-1-none-relu": (32, 32, 1),
}
"""Architecture, depth, pooling and activation; shape of the images."""
MYRTLE = {"myrtle5": (2, 1, 1), "myrtle7": (2, 2, 2), "myrtle10": (3, 3, 3)}


def main() -> None:
    """Writes images, NTK and NNGP of each case, and a gradient of some."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("out", type=Path)
    jax.config.update("jax_enable_x64", True)
    rng = np.random.default_rng(0)
    arrays = {}
    for name, shape in CASES.items():
        few = name.startswith("myrtle")
        x1 = rng.standard_normal((1 if few else 2, *shape))
        x2 = rng.standard_normal((1 if few else 3, *shape))
        apply = jax.jit(network(*name.split("-")), static_argnums=2)
        arrays |= {f"{name}/x1": x1, f"{name}/x2": x2}
        for get in ("ntk",) if few else ("ntk", "nngp"):
            arrays[f"{name}/{get}"] = np.asarray(apply(x1, x2, get))
        print(name, arrays[f"{name}/ntk"].ravel()[:2], flush=True)
    name = "conv-2-average-relu"
    apply = network(*name.split("-"))
    slope = jax.jit(
        jax.grad(lambda x: (apply(x, arrays[f"{name}/x2"], "ntk") ** 2).sum())
    )
    arrays[f"{name}/gradient"] = np.asarray(slope(arrays[f"{name}/x1"]))
    np.savez_compressed(parser.parse_args().out, **arrays)


def network(name: str, depth: str, pooling: str, activation: str) -> Any:
    """The kernel function of one architecture."""
    stax: Any = kernels.stax()
    scale = {"W_std": WEIGHT, "b_std": BIAS}
    conv = lambda: stax.Conv(1, (3, 3), padding="SAME", **scale)
    dense = lambda: stax.Dense(1, **scale)
    active = stax.Relu if activation == "relu" else stax.Erf
    pool = lambda: stax.AvgPool((2, 2), strides=(2, 2))
    if name == "fc":
        parts = [stax.Flatten()]
        for _ in range(int(depth)):
            parts += [dense(), active()]
        return stax.serial(*parts, dense())[2]
    parts = []
    if name == "conv":
        for _ in range(int(depth)):
            parts += [conv(), active()] + ([pool()] if pooling == "average" else [])
    elif name in MYRTLE:
        for repeat in MYRTLE[name]:
            for _ in range(repeat):
                parts += [conv(), active()]
            parts.append(pool())
        parts += [pool(), pool()]
    else:
        parts += [conv(), active()] if name == "convnet" else []
        for _ in range(3):
            parts += [conv(), active(), pool()]
    end = stax.GlobalAvgPool() if pooling == "global" else stax.Flatten()
    return stax.serial(*parts, end, dense())[2]


if __name__ == "__main__":
    main()
