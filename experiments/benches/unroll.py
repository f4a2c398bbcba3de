"""Bytes and FLOPs of the exact trajectory-matching gradient, by adjoint; nothing runs.

ConvNet of depth 3 and width 128, an inner batch of 100 images of CIFAR-10's size, no
augmentation, XLA's own convolution; SGD with a learned rate, the loss of MTT, its
gradient by images and rate. Everything is compiled for the CPU, and the compiler's
count of temporary bytes and of FLOPs is read: it takes the body of a loop once, so the
count of a program is that of its loops' bodies, forwards and backwards; the bodies are
compiled alone too. TESLA's procedure as its authors run it is in
reference/trajectory/tesla_jax.py. A row of all adjoints, and one of the growth.

  python experiments/bench.py unroll
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import benchmark
import jax
import jax.numpy as jnp
import references
from benches._trajectory import Setting, distance

from jaxdd import unroll
from jaxdd.base import Array, PyTree
from jaxdd.unroll import SGD, Adam, Adjoint, Backprop

STORED = "TESLA, parameters stored"
ADJOINTS: dict[str, Adjoint] = {
    "plain scan": Backprop("none"),
    "step checkpoint": Backprop(),
    "nested": Backprop("nested"),
    "fused": Backprop(step="fused"),
    "mixed": Backprop(step="mixed"),
}
OPTIMISERS = {
    "SGD": (SGD(), "fused", 4),
    "momentum": (SGD(0.9), "fused", 8),
    "Adam": (Adam(), "mixed", 12),
}
"""With the adjoint whose growth is measured, and the bytes a parameter and step it
should be."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--steps", type=int, nargs=2, default=[16, 64])
    parser.add_argument("--growth", type=int, nargs=2, default=[64, 256], help="steps")


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One of all adjoints, and one of the growth."""
    setting = Setting(options.width, options.batch, "stock")
    name = f"ConvNet-D3 width {options.width}, b={options.batch}"
    row = adjoint_row(setting, options.steps)
    yield {"benchmark": f"trajectory gradient, {name}"} | row
    row = growth_row(setting, options.growth)
    yield {"benchmark": f"growth of its memory, {name}"} | row


def trajectory_gradient(
    setting: Setting, optimiser: Any, adjoint: Adjoint
) -> Callable[..., tuple[Array, PyTree]]:
    """Loss and gradient by images and rate: (theta, start, target, rows)."""
    problem = setting.problem(optimiser)

    def outer(theta: PyTree, start: Array, target: Array, rows: Array) -> Array:
        carry = unroll.initial_carry(optimiser, start)
        end = unroll.solve(problem, theta, carry, rows, adjoint=adjoint)
        return distance(end.params, start, target)

    return jax.value_and_grad(outer)


# Rows ------------------------------------------------------------------------------


def compiled(function: Callable, arguments: tuple) -> dict[str, float]:
    """MB of temporary memory and GFLOP of a program, each loop's body counted once."""
    program = benchmark.Compiled(function, *arguments)
    flops = program.program.cost_analysis()["flops"]
    return program.about | {"GFLOP": round(flops / 1e9, 3)}


def adjoint_row(setting: Setting, steps: list[int]) -> dict[str, Any]:
    """Every adjoint at two lengths, and its ratios at the longer one."""
    found: dict[str, dict[str, Any]] = {}
    programs = {
        name: trajectory_gradient(setting, SGD(), adjoint)
        for name, adjoint in ADJOINTS.items()
    }
    programs["Separable"] = trajectory_gradient(setting, SGD(), unroll.Separable())
    tesla = references.adapter("trajectory/tesla_jax.py")
    programs[STORED] = tesla.stored_gradient(setting.loss)
    for name, program in programs.items():
        short, long = (compiled(program, setting.arguments(n)) for n in steps)
        found[name] = {
            f"MB, T={steps[0]}": short["MB"],
            f"MB, T={steps[1]}": long["MB"],
            "GFLOP a step": long["GFLOP"],
            "compile seconds": long["compile seconds"],
        }
    last, plain = f"MB, T={steps[1]}", found["plain scan"]
    for entry in found.values():
        entry["less memory than plain scan"] = round(plain[last] / entry[last], 1)
        ratio = entry["GFLOP a step"] / plain["GFLOP a step"]
        entry["FLOPs over plain scan"] = round(ratio, 3)
        ratio = entry[last] / found[STORED][last]
        entry["memory over TESLA"] = round(ratio, 3)
    settings = {"steps": steps, "parameters": setting.params.size, "optimiser": "SGD"}
    return {"settings": settings, "adjoints": found, "bodies, GFLOP": bodies(setting)}


def bodies(setting: Setting) -> dict[str, float]:
    """GFLOP of one step's parts, compiled alone, and what they make of each adjoint."""
    problem, theta = setting.problem(SGD()), setting.theta
    carry = jax.eval_shape(lambda p: unroll.initial_carry(SGD(), p), setting.params)
    rows = jax.ShapeDtypeStruct((setting.batch,), jnp.int32)

    def reverse(theta: PyTree, carry: Any, rows: Array, adjoint: Any) -> tuple:
        _, pull = jax.vjp(lambda t, c: problem.step(t, c, rows), theta, carry)
        return pull(adjoint)

    def along(theta: PyTree, carry: Any, rows: Array, adjoint: Any) -> tuple:
        """The loss's slope in direction u, and (M^T u, H u)."""
        joint = jax.value_and_grad(setting.loss, (0, 1))
        run = lambda params: joint(theta, params, rows)
        return jax.jvp(run, (carry.params,), (adjoint.params,))[1]

    step = compiled(problem.step, (theta, carry, rows))["GFLOP"]
    back = compiled(reverse, (theta, carry, rows, carry))["GFLOP"]
    mixed = compiled(along, (theta, carry, rows, carry))["GFLOP"]
    return {
        "step": step,
        "vjp of the step": back,
        "jvp of the joint gradient": mixed,
        "plain scan": back,
        "step checkpoint": round(step + back, 3),
        "nested": round(2 * step + back, 3),
        "fused": round(step + mixed, 3),
    }


def growth_row(setting: Setting, steps: list[int]) -> dict[str, Any]:
    """Bytes that a step more takes for each parameter, by inner optimiser.

    Between long windows: how well the compiler packs one step's maps differs between
    lengths by half a map, 26 MB, which is much of what 48 steps take.
    """
    growth: dict[str, Any] = {}
    for name, (optimiser, step, expected) in OPTIMISERS.items():
        adjoint = unroll.Backprop(step=step)  # pyright: ignore[reportArgumentType]
        program = trajectory_gradient(setting, optimiser, adjoint)
        short, long = (compiled(program, setting.arguments(n)) for n in steps)
        extra = 1e6 * (long["MB"] - short["MB"]) / (steps[1] - steps[0])
        growth[name] = {
            "adjoint": step,
            "MB": [short["MB"], long["MB"]],
            "GFLOP a step": long["GFLOP"],
            "bytes a parameter and step": round(extra / setting.params.size, 3),
            "expected": expected,
        }
    return {"settings": {"steps": steps}, "growth": growth}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The adjoints, aligned."""
    found = rows[0]["adjoints"]
    names = [name for name in next(iter(found.values())) if name != "compile seconds"]
    width = max(map(len, found))
    lines = [" " * width + "".join(f"  {name}" for name in names)]
    for adjoint, entry in found.items():
        cells = "".join(f"  {entry[name]:>{len(name)}}" for name in names)
        lines.append(f"{adjoint:<{width}}{cells}")
    return "\n".join(lines)
