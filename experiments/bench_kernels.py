"""Seconds and temporary bytes of analytic NTKs, ours and neural-tangents', in one run.

Three layers each: dense; 3x3 convolutions; the same with 2x2 averages behind each
(convnet3). Forward, and the gradient of the sum of squares by the first images; both
programs are compiled, get the same float32 arrays and run in turns. Bytes are the
compiler's count. Our pooled kernels map their gradient over blocks of pairs by
themselves. Appends a row per case to experiments/results/bench_kernels.jsonl.

  pip install --no-deps neural-tangents frozendict  # without it only our own times
  python experiments/bench_kernels.py
"""

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from benchmark import append, origin, summary

from jaxdd import kernels
from jaxdd.base import Array
from jaxdd.errors import InputError
from jaxdd.kernels import Kernel
from jaxdd.records import KernelSpec

POOLED = KernelSpec(architecture="convnet3")


class Case(NamedTuple):
    """A kernel, the numbers of images on both sides, and their shape."""

    spec: KernelSpec
    rows: int
    columns: int
    shape: tuple[int, int, int]


CASES = {
    "pooled, 16 px": Case(POOLED, 4, 8, (16, 16, 3)),
    "pooled, 32 px": Case(POOLED, 2, 4, (32, 32, 3)),
    "not pooled, 32 px": Case(
        KernelSpec(architecture="conv", depth=3), 10, 100, (32, 32, 3)
    ),
    "dense": Case(KernelSpec(depth=3), 500, 1000, (32, 32, 3)),
}


def main() -> None:
    """Measures each case and appends its row."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for name in options.cases:
        row = measure(CASES[name], options.rounds)
        append("bench_kernels", {"benchmark": f"analytic NTK, {name}"} | row | origin())


def measure(case: Case, rounds: int) -> dict[str, Any]:
    """Both programs in turns, after one turn to warm up."""
    rng = np.random.default_rng(0)
    sides = [
        jnp.asarray(rng.standard_normal((n, *case.shape)), jnp.float32)
        for n in (case.rows, case.columns)
    ]
    programs = {
        f"{who}, {what}": Program(function, sides)
        for who, kernel in found(case).items()
        for what, function in (("forward", kernel), ("gradient", gradient(kernel)))
    }
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(rounds + 1):
        for name, program in programs.items():
            taken = program.run()
            seconds[name] += [taken] if turn else []
    row: dict[str, Any] = {
        "settings": {"rows": case.rows, "columns": case.columns, "shape": case.shape}
    }
    for name, program in programs.items():
        row[name] = summary(seconds[name]) | program.about
    return row | compared(programs, seconds)


def found(case: Case) -> dict[str, Kernel]:
    """Our kernel, and theirs where it is installed."""
    ours = {"ours": kernels.named(case.spec, case.shape)}
    theirs = KernelSpec(**(vars(case.spec) | {"backend": "neural_tangents"}))
    try:
        return ours | {"theirs": kernels.named(theirs, case.shape)}
    except InputError as error:
        print(error)
        return ours


def gradient(kernel: Kernel) -> Callable[[Array, Array], Array]:
    """By the first images, of the sum of squares."""
    return jax.grad(lambda x1, x2: jnp.sum(kernel(x1, x2) ** 2))


class Program:
    """A compiled function and its arguments.

    Attributes:
      about: temporary megabytes, and the seconds that compiling it took.
      value: what it returned last.
    """

    def __init__(self, function: Callable, arguments: list[Array]) -> None:
        began = time.perf_counter()
        self._program = jax.jit(function).lower(*arguments).compile()
        analysis: Any = self._program.memory_analysis()
        self._arguments = arguments
        self.value: Array | None = None
        self.about = {
            "MB": round(analysis.temp_size_in_bytes / 1e6, 2),
            "compile seconds": round(time.perf_counter() - began, 1),
        }

    def run(self) -> float:
        """Seconds of one call."""
        began = time.perf_counter()
        self.value = jax.block_until_ready(self._program(*self._arguments))
        return time.perf_counter() - began


def compared(
    programs: dict[str, Program], seconds: dict[str, list[float]]
) -> dict[str, Any]:
    """How many times as fast ours are, and how far apart the values."""
    row: dict[str, Any] = {}
    for what in ("forward", "gradient"):
        names = f"theirs, {what}", f"ours, {what}"
        if names[0] not in programs:
            continue
        theirs, ours = (np.asarray(programs[name].value) for name in names)
        median, best = (
            [float(reduce(seconds[name])) for name in names]
            for reduce in (np.median, np.min)
        )
        memory = [programs[name].about["MB"] for name in names]
        error = np.abs(theirs - ours).max() / np.abs(theirs).max()
        row[f"speed, {what}"] = {
            "median": round(median[0] / median[1], 2),
            "best": round(best[0] / best[1], 2),
            "memory, ours over theirs": round(memory[1] / max(memory[0], 0.01), 2),
            "largest difference": float(f"{error:.1e}"),
        }
    return row


if __name__ == "__main__":
    main()
