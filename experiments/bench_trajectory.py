"""One outer step of MTT against the authors' program: time in turns, and peak memory.

ConvNet of depth 3, ten classes of 32x32x3 images, every image at every inner step, no
augmentation, noise on both sides: T inner steps from an expert's weights, the loss of
MTT, its gradient by images and rate, and an outer step of SGD. Ours is `jaxdd.unroll`
with the exact gradient, inside the compiled chunk that runs a method; theirs is their
`main`, unchanged (see reference/trajectory/mtt_torch.py). Each runs in a process of its
own and waits while the other works. Memory is the largest growth of the resident memory
in the first whole step, over the process in which a step of one inner step has run
(Linux). Appends rows to experiments/results/bench_trajectory.jsonl.

  git clone https://github.com/GeorgeCazenavette/mtt-distillation DIR
  python experiments/bench_trajectory.py --checkout DIR --torch-python PYTHON
"""

import argparse
import ctypes
import json
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from benchmark import Reference, append, origin, summary
from jax.flatten_util import ravel_pytree

from jaxdd import networks, unroll
from jaxdd.base import Array, Metrics, PyTree
from jaxdd.devices.mesh import device_per_core, make_mesh, replicate, set_around
from jaxdd.loop.chunk import compiled_chunk
from jaxdd.objectives.portioned import count_portions
from jaxdd.records import (
    ConvNet,
)
from jaxdd.training import losses
from jaxdd.unroll import SGD

REFERENCE = (
    Path(__file__).resolve().parent / "reference" / "trajectory" / "mtt_torch.py"
)
SHAPE, CLASSES, SEED, RATE = (32, 32, 3), 10, 0, 0.01
ADJOINTS = {
    "step": unroll.Backprop(),
    "nested": unroll.Backprop("nested"),
    "none": unroll.Backprop("none"),
    "fused": unroll.Backprop(step="fused"),
}


def main() -> None:
    """Measures speed at two widths and memory at one, or answers as our side."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkout", type=Path, help="a copy of mtt-distillation")
    parser.add_argument("--torch-python", type=Path, help="a Python with PyTorch")
    parser.add_argument("--torch-threads", type=int, default=0)
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
    options = parser.parse_args()
    if options.serve:
        if options.devices != 1:
            device_per_core()
        serve(Ours(options))
        return
    for width in options.widths:
        append("bench_trajectory", speed_row(width, options))
    if options.memory[0]:
        append("bench_trajectory", memory_row(options))


# The two sides ---------------------------------------------------------------------


def both(width: int, batch: int, steps: int, options: argparse.Namespace) -> dict:
    """The processes that make steps on request."""
    shape = ["--batch", str(batch), "--steps", str(steps)]
    mine = [sys.executable, str(Path(__file__)), "--serve", "--widths", str(width)]
    mine += [*shape, "--adjoint", options.adjoint, "--conv", options.conv]
    mine += ["--portion", str(options.portion), "--devices", str(options.devices)]
    sides = {"ours": Reference(mine)}
    if options.checkout is not None and options.torch_python is not None:
        command = [str(options.torch_python), str(REFERENCE), "--checkout"]
        command += [str(options.checkout), "--width", str(width), *shape]
        command += ["--threads", str(options.torch_threads)]
        sides["theirs"] = Reference(command)
    return sides


class Ours:
    """Our outer step in the chunk that the runner compiles."""

    def __init__(self, options: argparse.Namespace) -> None:
        spec = ConvNet(width=(options.widths[0],) * 3, conv=options.conv)
        self._network = networks.build(spec, SHAPE, CLASSES)
        self._variables = jax.jit(self._network.init)(jax.random.key(SEED))
        start, self._unravel = ravel_pytree(self._variables.params)
        self._adjoint = ADJOINTS[options.adjoint]
        images: Any = jax.ShapeDtypeStruct((options.batch, *SHAPE), jnp.float32)
        self._mesh = make_mesh() if options.devices != 1 else None
        with set_around(self._mesh):
            portions = count_portions(
                self._network, images, options.batch, self._adjoint
            )
        self._portion = options.portion or options.batch // portions
        self._label = jnp.arange(options.batch) % CLASSES
        rng = np.random.default_rng(SEED)
        image = rng.standard_normal((options.batch, *SHAPE), np.float32)
        params = {"image": jnp.asarray(image), "log_rate": jnp.log(jnp.float32(RATE))}
        self._optimiser = optax.sgd(1.0, momentum=0.5)
        self._state = (params, self._optimiser.init(params), jax.random.key(SEED))
        noise = rng.standard_normal(start.shape, np.float32)
        self._data = start, start + 0.01 * noise
        self._make(1)
        self.step()
        began = time.perf_counter()
        analysis: Any = self._make(options.steps).memory_analysis()
        self.about = {
            "rows at a time": self._portion,
            "compile seconds": round(time.perf_counter() - began, 1),
            "temporary MB": round(analysis.temp_size_in_bytes / 1e6, 1),
        }

    def step(self) -> dict[str, float]:
        """Makes an outer step: wall and processor seconds, MB of growth, the loss."""
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what compiling left behind
        reset_peak()
        before = resident("VmRSS")
        wall, cpu = time.perf_counter(), time.process_time()
        count = replicate(self._mesh, np.int32(1))
        out = self._chunk(self._state, self._data, count)
        self._state = jax.block_until_ready(out)[0]
        return {
            "wall": time.perf_counter() - wall,
            "cpu": time.process_time() - cpu,
            "growth": resident("VmHWM") - before,
            "loss": float(out[1]["loss"][0]),
        }

    def _make(self, num_steps: int) -> Any:
        """Compiles the step of so many inner ones."""

        def step(state: PyTree, data: tuple) -> tuple[PyTree, Metrics]:
            params, opt, key = state
            key, own = jax.random.split(key)
            with set_around(self._mesh):
                value, gradient = jax.value_and_grad(self._distance)(
                    params, *data, own, num_steps
                )
            updates, opt = self._optimiser.update(gradient, opt, params)
            return (optax.apply_updates(params, updates), opt, key), {"loss": value}

        state = replicate(self._mesh, jax.tree.map(jnp.copy, self._state))
        self._data = replicate(self._mesh, self._data)
        self._state = state
        self._chunk: Any = compiled_chunk(step, 1, state, self._data)
        return self._chunk

    def _distance(
        self, theta: PyTree, start: Array, target: Array, key: Array, num_steps: int
    ) -> Array:
        """The loss of MTT; every inner step takes all images in an order of its own."""
        rate = unroll.learned_rate(lambda theta, x: theta["log_rate"])
        problem = unroll.inner.problem(self._loss, SGD(), rate)
        if self._portion < len(self._label):
            few = lambda theta, rows: rows.reshape(-1, self._portion)
            problem = unroll.in_portions(problem, few)
        rows = lambda own: jax.random.permutation(own, len(self._label))
        order = jax.vmap(rows)(jax.random.split(key, num_steps))
        carry = unroll.initial_carry(SGD(), start)
        end = unroll.solve(problem, theta, carry, order, adjoint=self._adjoint)
        moved = jnp.sum((end.params - target) ** 2)
        return moved / jnp.sum((start - target) ** 2)

    def _loss(self, theta: PyTree, params: Array, rows: Array) -> Array:
        variables = self._variables._replace(params=self._unravel(params))
        output, _ = self._network.apply(variables, theta["image"][rows])
        return losses.cross_entropy(output.logits, self._label[rows])


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


# Rows ------------------------------------------------------------------------------


def speed_row(width: int, options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a step, in turns; the first round warms up."""
    sides = both(width, options.batch, options.steps, options)
    seconds: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for turn in range(options.rounds + 1):
        for name, side in sides.items():
            found: Any = side.run(1)
            seconds[name] += found if turn else []
    row: dict[str, Any] = {
        "benchmark": f"mtt step, width {width}, b={options.batch}, T={options.steps}",
        "settings": {
            "adjoint": options.adjoint,
            "convolution": options.conv,
            "devices": options.devices or "one a core",
        },
        "about": {name: side.about for name, side in sides.items()},
    }
    for name, side in sides.items():
        side.close()
        row[name] = summary([taken["wall"] for taken in seconds[name]])
        row[name]["cpu"] = round(min(taken["cpu"] for taken in seconds[name]), 4)
    if "theirs" in row:
        for kind in ("best", "median", "cpu"):
            ratio = row["theirs"][kind] / row["ours"][kind]
            row[f"speed, {kind}"] = round(ratio, 3)
    return row | origin()


def memory_row(options: argparse.Namespace) -> dict[str, Any]:
    """MB that a whole step adds to the warmed process, one side after the other."""
    width, batch, steps = options.memory
    row: dict[str, Any] = {
        "benchmark": f"mtt step, memory, width {width}, b={batch}, T={steps}",
        "settings": {
            "adjoint": options.adjoint,
            "convolution": options.conv,
            "devices": options.devices or "one a core",
        },
        "about": {},
    }
    for name, side in both(width, batch, steps, options).items():
        row["about"][name] = side.about
        found: Any = side.run(1)
        side.close()
        row[f"{name}, MB"] = round(found[0]["growth"], 1)
    if "theirs, MB" in row:
        row["theirs over ours"] = round(row["theirs, MB"] / row["ours, MB"], 2)
    return row | origin()


if __name__ == "__main__":
    main()
