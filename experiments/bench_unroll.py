"""Bytes and FLOPs of the exact trajectory-matching gradient, by adjoint; nothing runs.

ConvNet of depth 3 and width 128, an inner batch of 100 images of CIFAR-10's size, no
augmentation, XLA's own convolution; SGD with a learned rate, the loss of MTT, its
gradient by images and rate. Everything is compiled for the CPU, and the compiler's
count of temporary bytes and of FLOPs is read: it takes the body of a loop once, so the
count of a program is that of its loops' bodies, forwards and backwards; the bodies are
compiled alone too. TESLA's procedure is written here as its authors run it: parameters
stored in a first loop, gradients rebuilt in a second. Appends rows to
experiments/results/bench_unroll.jsonl.

  python experiments/bench_unroll.py
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from benchmark import append, origin
from jax.flatten_util import ravel_pytree

from jaxdd import networks, unroll
from jaxdd.base import Array, PyTree
from jaxdd.records import (
    ConvNet,
)
from jaxdd.training import losses
from jaxdd.unroll import SGD, Adam, Adjoint, Backprop, InnerProblem

SHAPE, CLASSES, RATE = (32, 32, 3), 10, 0.01
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


def main() -> None:
    """Appends a row of all adjoints, one of the growth, and prints them."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--steps", type=int, nargs=2, default=[16, 64])
    parser.add_argument("--growth", type=int, nargs=2, default=[64, 256], help="steps")
    options = parser.parse_args()
    setting = Setting(options.width, options.batch)
    name = f"ConvNet-D3 width {options.width}, b={options.batch}"
    row = adjoint_row(setting, options.steps)
    append("bench_unroll", {"benchmark": f"trajectory gradient, {name}"} | row)
    print(table(row["adjoints"]))
    row = growth_row(setting, options.growth)
    append("bench_unroll", {"benchmark": f"growth of its memory, {name}"} | row)


class Setting:
    """The network and the shapes of one problem.

    Attributes:
      batch: rows of an inner step. params: abstract [P]. theta: images [b,h,w,c] and
        the rate's logarithm, abstract.
    """

    def __init__(self, width: int, batch: int) -> None:
        spec = ConvNet(width=(width,) * 3, conv="stock")
        network = networks.build(spec, SHAPE, CLASSES)
        variables = jax.eval_shape(network.init, jax.random.key(0))
        flat = lambda: ravel_pytree(jax.tree.map(_zeros, variables.params))
        self.params, _ = jax.eval_shape(lambda: (flat()[0], 0))
        self.batch, self._network, self._variables = batch, network, variables
        self._unravel = flat()[1]
        image = jax.ShapeDtypeStruct((batch, *SHAPE), jnp.float32)
        self.theta = {"image": image, "log_rate": jax.ShapeDtypeStruct((), jnp.float32)}
        self.label = jnp.arange(batch) % CLASSES

    def loss(self, theta: PyTree, params: Array, rows: Array) -> Array:
        """The inner loss of some rows of the set; params [P], rows int32 [b]."""
        variables = self._variables._replace(params=self._unravel(params))
        output, _ = self._network.apply(variables, theta["image"][rows])
        return losses.cross_entropy(output.logits, self.label[rows])

    def problem(self, optimiser: Any) -> InnerProblem:
        """The inner problem with a learned rate."""
        rate = unroll.learned_rate(lambda theta, x: theta["log_rate"])
        return unroll.inner.problem(self.loss, optimiser, rate)

    def arguments(self, num_steps: int) -> tuple:
        """Of a gradient: theta, start and target [P], rows [T,b]."""
        rows = jax.ShapeDtypeStruct((num_steps, self.batch), jnp.int32)
        return self.theta, self.params, self.params, rows


def _zeros(leaf: Any) -> Array:
    return jnp.zeros(leaf.shape, leaf.dtype)


def distance(end: Array, start: Array, target: Array) -> Array:
    """The loss of MTT."""
    return jnp.sum((end - target) ** 2) / jnp.sum((start - target) ** 2)


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


def tesla_stored(setting: Setting) -> Callable[..., tuple[Array, PyTree]]:
    """TESLA's gradient as its authors compute it: every step's parameters are kept."""

    def gradient(theta: PyTree, start: Array, target: Array, rows: Array) -> tuple:
        rate = jnp.exp(theta["log_rate"])
        slope = jax.grad(setting.loss, 1)

        def forward(state: tuple, row: Array) -> tuple[tuple, Array]:
            params, total = state
            step = slope(theta, params, row)
            return (params - rate * step, total + step), params

        begin = (start, jnp.zeros_like(start))
        (end, total), kept = jax.lax.scan(forward, begin, rows)
        scale = jnp.sum((start - target) ** 2)
        ahead = -2 * rate * (end - target) / scale

        def back(summed: Array, entry: tuple) -> tuple[Array, None]:
            params, row = entry
            along = lambda image: jnp.vdot(
                slope(theta | {"image": image}, params, row), ahead
            )
            return summed + jax.grad(along)(theta["image"]), None

        image, _ = jax.lax.scan(back, jnp.zeros_like(theta["image"]), (kept, rows))
        log_rate = jnp.vdot(ahead, total)
        return distance(end, start, target), {"image": image, "log_rate": log_rate}

    return gradient


# Rows ------------------------------------------------------------------------------


def compiled(function: Callable, arguments: tuple) -> dict[str, float]:
    """MB of temporary memory and GFLOP of a program, each loop's body counted once."""
    began = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    analysis: Any = program.memory_analysis()
    counted: Any = program.cost_analysis()
    return {
        "MB": round(analysis.temp_size_in_bytes / 1e6, 3),
        "GFLOP": round(counted["flops"] / 1e9, 3),
        "compile seconds": round(time.perf_counter() - began, 1),
    }


def adjoint_row(setting: Setting, steps: list[int]) -> dict[str, Any]:
    """Every adjoint at two lengths, and its ratios at the longer one."""
    found: dict[str, dict[str, Any]] = {}
    programs = {
        name: trajectory_gradient(setting, SGD(), adjoint)
        for name, adjoint in ADJOINTS.items()
    }
    programs["Separable"] = trajectory_gradient(setting, SGD(), unroll.Separable())
    programs["TESLA, parameters stored"] = tesla_stored(setting)
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
        ratio = entry[last] / found["TESLA, parameters stored"][last]
        entry["memory over TESLA"] = round(ratio, 3)
    settings = {"steps": steps, "parameters": setting.params.size, "optimiser": "SGD"}
    row = {"settings": settings, "adjoints": found, "bodies, GFLOP": bodies(setting)}
    return row | origin()


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
    return {"settings": {"steps": steps}, "growth": growth} | origin()


def table(found: dict[str, dict[str, Any]]) -> str:
    """The adjoints, aligned."""
    names = [name for name in next(iter(found.values())) if name != "compile seconds"]
    width = max(map(len, found))
    lines = [" " * width + "".join(f"  {name}" for name in names)]
    for adjoint, entry in found.items():
        cells = "".join(f"  {entry[name]:>{len(name)}}" for name in names)
        lines.append(f"{adjoint:<{width}}{cells}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
