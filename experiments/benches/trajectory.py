"""One outer step of MTT against the authors' program: time in turns, and peak memory.

ConvNet of depth 3, ten classes of 32x32x3 images, every image at every inner step, no
augmentation, noise on both sides: T inner steps from an expert's weights, the loss of
MTT, its gradient by images and rate, and an outer step of SGD. Ours is `jaxdd.unroll`
with the exact gradient, inside the compiled chunk that runs a method; theirs is their
`main`, unchanged (see reference/trajectory/mtt_torch.py). Each runs in a process of its
own and waits while the other works. Memory is the largest growth of the resident memory
in the first whole step, over the process in which a step of one inner step has run
(Linux). A row of speed for each width, and one of memory.

  git clone https://github.com/GeorgeCazenavette/mtt-distillation DIR
  python experiments/bench.py trajectory --checkout DIR --torch-python PYTHON
"""

import argparse
import contextlib
import ctypes
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import benchmark
import jax
import jax.numpy as jnp
import numpy as np
import optax
import references
from benches._trajectory import RATE, Setting, distance
from benchmark import SEED, SHAPE
from references import Reference

from jaxdd import unroll
from jaxdd.base import Array, Metrics, PyTree
from jaxdd.devices.mesh import device_per_core, make_mesh, replicate, use_mesh
from jaxdd.objectives.portioned import count_portions
from jaxdd.unroll import SGD

ADJOINTS = {
    "step": unroll.Backprop(),
    "nested": unroll.Backprop("nested"),
    "none": unroll.Backprop("none"),
    "fused": unroll.Backprop(step="fused"),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    references.add_options(parser, "mtt-distillation", threads=True)
    parser.add_argument("--widths", type=int, nargs="*", default=[32, 128])
    parser.add_argument("--batch", type=int, default=20, help="images, for speed")
    parser.add_argument("--steps", type=int, default=10, help="inner ones, for speed")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--memory",
        type=int,
        nargs=3,
        default=[128, 100, 30],
        help="width, images and inner steps; 0 0 0 leaves it out",
    )
    parser.add_argument("--adjoint", choices=ADJOINTS, default="step")
    parser.add_argument("--conv", default="auto", help="auto, cpu, rows or stock")
    parser.add_argument(
        "--portion", type=int, default=0, help="rows at a time; 0 = the library's rule"
    )
    parser.add_argument("--devices", type=int, default=0, help="1, or 0 for one a core")
    parser.add_argument("--serve", action="store_true", help="be our side of it")


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Speed at each width and memory at one; none where it answers as our side."""
    if options.serve:
        if options.devices != 1:
            device_per_core()
        serve(Ours(options))
        return
    for width in options.widths:
        yield speed_row(width, options)
    if options.memory[0]:
        yield memory_row(options)


def speed_row(width: int, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a step, in turns."""
    shape = width, options.batch, options.steps
    name = "mtt step, width {}, b={}, T={}".format(*shape)
    with both(*shape, options) as sides:
        turns = {who: side.turns()["theirs"] for who, side in sides.items()}
        row = common(name, sides, options) | benchmark.against(turns, options)
    return row


def memory_row(options: argparse.Namespace) -> dict[str, Any]:
    """MB that a whole step adds to the warmed process, one side after the other."""
    name = "mtt step, memory, width {}, b={}, T={}".format(*options.memory)
    with both(*options.memory, options) as sides:
        row = common(name, sides, options)
        growth = {who: side.run(1)[0]["growth"] for who, side in sides.items()}
    row |= {f"{who}, MB": round(value, 1) for who, value in growth.items()}
    if "theirs" in growth:
        row["theirs over ours"] = round(growth["theirs"] / growth["ours"], 2)
    return row


def common(
    name: str, sides: dict[str, Reference], options: argparse.Namespace
) -> dict[str, Any]:
    """What every row says."""
    return {
        "benchmark": name,
        "settings": {
            "adjoint": options.adjoint,
            "convolution": options.conv,
            "devices": options.devices or "one a core",
        },
        "about": {who: side.about for who, side in sides.items()},
    }


@contextlib.contextmanager
def both(
    width: int, batch: int, steps: int, options: argparse.Namespace
) -> Iterator[dict[str, Reference]]:
    """The processes that make steps on request; each waits while the other works."""
    shape = [str(word) for word in ("--batch", batch, "--steps", steps)]
    mine = [sys.executable, sys.argv[0], "trajectory", "--serve"]
    mine += ["--widths", str(width), *shape]
    mine += ["--adjoint", options.adjoint, "--conv", options.conv]
    mine += ["--portion", str(options.portion), "--devices", str(options.devices)]
    command = ("trajectory/mtt_torch.py", "--width", width, *shape)
    ours = Reference(mine)
    with references.running(options, *command) as theirs:
        yield {"ours": ours} | ({"theirs": theirs} if theirs.turns() else {})
    ours.close()


# Our side --------------------------------------------------------------------------


class Ours:
    """Our outer step in the chunk that the runner compiles.

    Attributes:
      about: rows at a time, and what compiling took.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._setting = Setting(options.widths[0], options.batch, options.conv)
        self._adjoint = ADJOINTS[options.adjoint]
        self._mesh = make_mesh() if options.devices != 1 else None
        with use_mesh(self._mesh):
            portions = count_portions(
                *(self._setting.network, self._setting.theta["image"], options.batch),
                self._adjoint,
            )
        self._portion = options.portion or options.batch // portions
        self._optimiser = optax.sgd(1.0, momentum=0.5)
        rng = np.random.default_rng(SEED)
        image = rng.standard_normal((options.batch, *SHAPE), np.float32)
        params = {"image": jnp.asarray(image), "log_rate": jnp.log(jnp.float32(RATE))}
        state = (params, self._optimiser.init(params), jax.random.key(SEED))
        start = self._setting.start(jax.random.key(SEED))
        noise = rng.standard_normal(start.shape, np.float32)
        data = replicate(self._mesh, (start, start + 0.01 * noise))
        state = replicate(self._mesh, state)
        self._program = benchmark.Program(self._outer(1), state, data)
        self.step()
        self._program = benchmark.Program(self._outer(options.steps), state, data)
        self.about = {"rows at a time": self._portion} | self._program.about

    def step(self) -> dict[str, float]:
        """Makes an outer step: wall and processor seconds, MB of growth, the loss."""
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what compiling left behind
        reset_peak()
        before = resident("VmRSS")
        (taken,) = self._program()
        growth = resident("VmHWM") - before
        loss = float(self._program.metrics["loss"][0])
        return taken | {"growth": growth, "loss": loss}

    def _outer(self, num_steps: int) -> Any:
        """The outer step of so many inner ones."""

        def step(state: PyTree, data: tuple) -> tuple[PyTree, Metrics]:
            params, opt, key = state
            key, own = jax.random.split(key)
            with use_mesh(self._mesh):
                value, gradient = jax.value_and_grad(self._distance)(
                    params, *data, own, num_steps
                )
            updates, opt = self._optimiser.update(gradient, opt, params)
            return (optax.apply_updates(params, updates), opt, key), {"loss": value}

        return step

    def _distance(
        self, theta: PyTree, start: Array, target: Array, key: Array, num_steps: int
    ) -> Array:
        """The loss of MTT; every inner step takes all images in an order of its own."""
        problem, size = self._setting.problem(SGD()), self._setting.batch
        if self._portion < size:
            few = lambda theta, rows: rows.reshape(-1, self._portion)
            problem = unroll.in_portions(problem, few)
        rows = lambda own: jax.random.permutation(own, size)
        order = jax.vmap(rows)(jax.random.split(key, num_steps))
        carry = unroll.initial_carry(SGD(), start)
        end = unroll.solve(problem, theta, carry, order, adjoint=self._adjoint)
        return distance(end.params, start, target)


def serve(ours: Ours) -> None:
    """Makes as many steps as each line says, until an empty one."""
    print(json.dumps(ours.about), flush=True)
    for line in sys.stdin:
        if not line.strip():
            return
        print(json.dumps([ours.step() for _ in range(int(line))]), flush=True)


def reset_peak() -> None:
    """Forgets the largest resident memory there has been (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def resident(field: str) -> float:
    """MB of resident memory: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(field))
    return int(line.split()[1]) * 1024 / 1e6
