"""Seconds and temporary bytes of analytic NTKs, ours and neural-tangents', in one run.

Three layers each: dense; 3x3 convolutions; the same with 2x2 averages behind each
(convnet3). Forward, and the gradient of the sum of squares by the first images; both
programs are compiled, get the same float32 arrays and run in turns. Bytes are the
compiler's count. Our pooled kernels map their gradient over blocks of pairs by
themselves. A row per case.

  pip install --no-deps neural-tangents frozendict  # without it only our own times
  python experiments/bench.py kernels
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import benchmark
import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import kernels
from jaxdd.base import Array
from jaxdd.errors import InputError
from jaxdd.kernels import Kernel
from jaxdd.records import (
    Architecture,
    Conv,
    Fc,
    KernelSpec,
    WideKernel,
)

POOLED = WideKernel("ntk", Architecture("convnet3"))
CONV = WideKernel("ntk", Conv(3))


class Case(NamedTuple):
    """A kernel, the numbers of images on both sides, and their shape."""

    spec: KernelSpec
    rows: int
    columns: int
    shape: tuple[int, int, int]


CASES = {
    "pooled, 16 px": Case(POOLED, 4, 8, (16, 16, 3)),
    "pooled, 32 px": Case(POOLED, 2, 4, (32, 32, 3)),
    "not pooled, 32 px": Case(CONV, 10, 100, (32, 32, 3)),
    "dense": Case(WideKernel("ntk", Fc(3)), 500, 1000, (32, 32, 3)),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One per case."""
    for name in options.cases:
        yield {"benchmark": f"analytic NTK, {name}"} | row(CASES[name], options.rounds)


def row(case: Case, rounds: int) -> dict[str, Any]:
    """Both programs in turns, forward and gradient."""
    rng = np.random.default_rng(benchmark.SEED)
    sides = [
        jnp.asarray(rng.standard_normal((n, *case.shape)), jnp.float32)
        for n in (case.rows, case.columns)
    ]
    programs = {
        f"{who}, {part}": benchmark.Compiled(function, *sides)
        for who, kernel in both(case).items()
        for part, function in (("forward", kernel), ("gradient", gradient(kernel)))
    }
    found = benchmark.measured(programs, rounds)
    settings = {name: value for name, value in case._asdict().items() if name != "spec"}
    row: dict[str, Any] = {"settings": settings}
    row |= {name: found[name] | program.about for name, program in programs.items()}
    for part in ("forward", "gradient"):
        ours, theirs = (programs.get(f"{who}, {part}") for who in ("ours", "theirs"))
        if theirs is None:
            continue
        row |= benchmark.compared(
            row[f"ours, {part}"], row[f"theirs, {part}"], f"speed, {part}"
        )
        memory = ours.about["MB"] / max(theirs.about["MB"], 0.01)
        row[f"memory, {part}, ours over theirs"] = round(memory, 2)
        error = np.abs(theirs.value - ours.value).max() / np.abs(theirs.value).max()
        row[f"largest difference, {part}"] = float(f"{error:.1e}")
    return row


def both(case: Case) -> dict[str, Kernel]:
    """Our kernel, and theirs where it is installed."""
    ours = {"ours": kernels.named(case.spec, case.shape)}
    theirs = dataclasses.replace(case.spec, backend="neural_tangents")
    try:
        return ours | {"theirs": kernels.named(theirs, case.shape)}
    except InputError as error:
        print(error)
        return ours


def gradient(kernel: Kernel) -> Callable[[Array, Array], Array]:
    """By the first images, of the sum of squares."""
    return jax.grad(lambda x1, x2: jnp.sum(kernel(x1, x2) ** 2))
