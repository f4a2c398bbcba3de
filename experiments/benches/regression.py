"""What kernel regression costs in steps and precision: conjugate gradients, float32.

Features of an untrained ConvNet (32-64-128, no norm) on images of CIFAR-10. Conjugate
gradients to 1e-6 by landmarks and ridge; relative errors of float32 predictions against
float64 at the ridge used. Counts, not seconds: they do not depend on the machine. The
rows are shown in docs/kernels.md.

  python experiments/bench.py regression
"""

import argparse
import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from benchmark import SHAPE

from jaxdd import networks, whiten
from jaxdd.data.load import load
from jaxdd.kernels import Ridge, conjugate, features, fit, fit_iterative, predict
from jaxdd.records import ConvNet, DataSpec

WIDTH = (32, 64, 128)
RIDGES, LANDMARKS = (1e-6, 1e-3, 5e-3), (0, 100, 300)
PRECISIONS = (("float32", 0), ("float32", 1), ("bfloat16", 1))  # with refinements


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    parser.add_argument("--rows", type=int, default=1000, help="images in the kernel")
    parser.add_argument("--cache", type=Path, help="folder of decoded data")


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Those of both tables."""
    image, label = images(2 * options.rows, options.cache)
    for measure in (steps, errors):
        yield from measure(image, label, options.rows)


def images(count: int, cache: Path | None) -> tuple[jax.Array, jax.Array]:
    """Whitened images of CIFAR-10 and centred one-hot labels."""
    train = load(DataSpec("cifar10"), cache=cache).train
    image = whiten.apply(train.whitening, whiten.to_unit(train.image[:count]))
    return image, jax.nn.one_hot(train.label[:count], 10) - 0.1


def body(dtype: str = "float32") -> networks.Network:
    """The ConvNet without its last layer."""
    spec = ConvNet(width=WIDTH, norm="none")
    return networks.build(spec, SHAPE, 0, dtype=dtype)


def steps(image: jax.Array, label: jax.Array, rows: int) -> Iterator[dict[str, Any]]:
    """Steps of conjugate gradients, float64 so that rounding plays no part."""
    variables = jax.jit(body().init)(jax.random.key(0))
    f_s = np.asarray(features(body(), variables, image[:rows], chunk=250), np.float64)
    k_ss, y_s = f_s @ f_s.T, np.asarray(label[:rows])
    for landmarks, value in itertools.product(LANDMARKS, RIDGES):
        solve = partial(fit_iterative, landmarks=landmarks, steps=5000)
        with jax.enable_x64(True):
            arguments = jnp.asarray(k_ss), jnp.asarray(y_s), Ridge(value)
            _, info = jax.jit(solve, static_argnums=2)(*arguments)
        yield {
            "what": "steps",
            "rows": rows,
            "ridge": value,
            "landmarks": landmarks,
            "ok": bool(info.ok),
            "steps": int(info.steps),
            "residual": float(info.residual),
        }


def errors(image: jax.Array, label: jax.Array, rows: int) -> Iterator[dict[str, Any]]:
    """Relative errors of predictions for as many other images, by precision."""
    variables = jax.jit(body().init)(jax.random.key(0))
    wide = np.asarray(features(body(), variables, image, chunk=250), np.float64)
    for value, (dtype, refine) in itertools.product(RIDGES, PRECISIONS):
        kernel = jax.jit(conjugate(body(dtype), chunk=250))
        k_ss = kernel(image[:rows], image[:rows], variables)
        alpha, info = fit(k_ss, label[:rows], Ridge(value), refine=refine)
        ours = predict(kernel(image[rows:], image[:rows], variables), alpha)
        gram = wide[:rows] @ wide[:rows].T + float(info.ridge) * np.eye(rows)
        solved = np.linalg.solve(gram, np.asarray(label[:rows], np.float64))
        exact = wide[rows:] @ (wide[:rows].T @ solved)
        error = np.linalg.norm(np.asarray(ours) - exact) / np.linalg.norm(exact)
        yield {
            "what": "error",
            "rows": rows,
            "ridge": value,
            "body": dtype,
            "refine": refine,
            "retries": int(info.retries),
            "error": float(error),
        }
