"""Ten students of one set against the authors' program, measured in turns in one run.

The set is a random subset of CIFAR-10, 10 images per class (noise where there is no
CIFAR-10 in JAXDD_DATA); ConvNet of depth 3 under the protocol `vico`, DSA included.
Theirs is their own training function, one student after another in PyTorch with as many
threads as it likes (see reference/training/students_torch.py). Ours is the step inside
the compiled chunk that runs it: students one after another with all threads, one a core
(the mesh's axis `seed`), and all together (vmap). Each turn trains every student for
some steps; a whole training has 1001 like them, which the row extrapolates. Appends a
row per width to experiments/results/bench_students.jsonl.

  git clone https://github.com/VICO-UoE/DatasetCondensation DIR
  python experiments/bench_students.py --checkout DIR --torch-python PYTHON
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from benchmark import Reference, append, origin, summary

from jaxdd import networks, whiten
from jaxdd.base import Metrics, PyTree
from jaxdd.data import corpus
from jaxdd.data.load import load
from jaxdd.devices.mesh import make_mesh, replicate, split_lead, spread
from jaxdd.errors import InputError
from jaxdd.loop.chunk import compiled_chunk
from jaxdd.presets.protocols import PROTOCOLS
from jaxdd.records import (
    ConvNet,
    DataSpec,
)
from jaxdd.select import random_rows, subset
from jaxdd.training import Trainer, trainer
from jaxdd.training.batches import array_source, in_steps

REFERENCE = (
    Path(__file__).resolve().parent / "reference" / "training" / "students_torch.py"
)
CLASSES, SHAPE, SEED = 10, (32, 32, 3), 0
STEPS = {128: 12, 32: 60}  # of a turn: about ten seconds on two cores
Turn = Callable[[], dict[str, float]]
"""Trains every student for some steps: wall and processor seconds."""


def main() -> None:
    """Measures each width, appends its row and prints a table of them."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkout", type=Path, help="a copy of DatasetCondensation")
    parser.add_argument("--torch-python", type=Path, help="a Python with PyTorch")
    parser.add_argument("--torch-threads", type=int, default=0)
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 32])
    parser.add_argument("--students", type=int, default=10)
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--steps", type=int, default=0, help="of a turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vmap-steps", type=int, default=1, help="0 leaves it out")
    options = parser.parse_args()
    if "device_count" not in os.environ.get("XLA_FLAGS", ""):  # one device a core
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    image, label, name = real_set(options.ipc)
    rows = [measure(image, label, name, width, options) for width in options.widths]
    for row in rows:
        append("bench_students", row)
    print(table(rows))


def real_set(ipc: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Whitened images and labels of a random subset, and what they are of."""
    cache = Path(os.environ.get("JAXDD_CACHE") or "~/.cache/jaxdd").expanduser()
    try:
        train = load(DataSpec("cifar10"), cache=cache / "data").train
        assert train is not None
    except InputError:
        rng = np.random.default_rng(SEED)
        noise = rng.integers(0, 256, (20 * ipc * CLASSES, *SHAPE), dtype=np.uint8)
        label = np.arange(len(noise), dtype=np.int32) % CLASSES
        fitted = whiten.fit("standard", noise)
        train = corpus.build(noise, label, fitted, name="noise")
    rows = random_rows(jax.random.key(SEED), train, CLASSES * ipc, ipc)
    chosen = subset(train, rows)
    return np.asarray(chosen.image), np.asarray(chosen.target), train.name


def measure(
    image: np.ndarray,
    label: np.ndarray,
    name: str,
    width: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """The row of one width."""
    steps = options.steps or STEPS.get(width, 20)
    run = student(width, len(label))
    data = jnp.asarray(image), jnp.asarray(label)
    began = time.perf_counter()
    turns = {
        "one after another": alone(run, data, options.students, steps),
        "one a core": together(run, data, options.students, steps, "map"),
    }
    row: dict[str, Any] = {
        "benchmark": f"{options.students} students, ConvNet-D3 width {width}, "
        f"{len(label)} images",
        "settings": settings(name, steps, options),
        "compile seconds": round(time.perf_counter() - began, 1),
    }
    theirs = None
    with tempfile.TemporaryDirectory() as folder:
        if options.checkout is not None and options.torch_python is not None:
            np.savez(Path(folder) / "set.npz", image=image, label=label)
            theirs = Reference(reference(Path(folder) / "set.npz", width, options))
            row["reference"] = theirs.about
            turns["theirs"] = partial(their_turn, theirs, options.students)
        row |= in_turns(turns, options.rounds, steps)
    if theirs is not None:
        theirs.close()
    if options.vmap_steps:
        vmap = together(run, data, options.students, options.vmap_steps, "vmap")
        row |= in_turns({"vmap": vmap}, 1, options.vmap_steps)
    return compared(row) | origin()


def settings(name: str, steps: int, options: argparse.Namespace) -> dict[str, Any]:
    """What a row must say to be repeated."""
    return {
        "set": f"random subset of {name}, {options.ipc} images per class",
        "protocol": "vico",
        "steps of a turn": steps,
        "rounds": options.rounds,
        "seed": SEED,
        "unit": "seconds of one step of all students",
    }


def reference(file: Path, width: int, options: argparse.Namespace) -> list[str]:
    """The command of the other program."""
    command = [str(options.torch_python), str(REFERENCE)]
    command += ["--checkout", str(options.checkout), "timing", str(file)]
    command += ["--width", str(width), "--threads", str(options.torch_threads)]
    return [*command, "--steps", str(options.steps or STEPS.get(width, 20))]


def student(width: int, size: int) -> Trainer:
    """The training of one student of a set of so many images."""
    spec = ConvNet(width=(width,) * 3)
    recipe = in_steps(PROTOCOLS["vico"].train, size)
    return trainer(array_source(recipe), networks.build(spec, SHAPE, CLASSES), recipe)


# Turns -----------------------------------------------------------------------------


def alone(run: Trainer, data: PyTree, students: int, steps: int) -> Turn:
    """Students one after another on one device, with all of its threads."""
    states = [jax.jit(run.init)(key) for key in student_keys(students)]
    chunk = compiled_chunk(run.step, steps, states[0], data)

    def turn() -> None:
        for number, state in enumerate(states):
            done = chunk(state, data, np.int32(steps))
            states[number] = jax.block_until_ready(done)[0]

    return partial(timed, turn)


def together(
    run: Trainer,
    data: PyTree,
    students: int,
    steps: int,
    how: Literal["map", "vmap"],
) -> Turn:
    """Students in one program, a share of them on each device."""
    count = jax.device_count()
    mesh = make_mesh(count, 1) if count > 1 and students % count == 0 else None
    many = spread(mesh, how, run.step, shared=True)

    def step(states: PyTree, data: PyTree) -> tuple[PyTree, Metrics]:
        states, metrics = many(states, data)
        return states, {name: jnp.mean(value) for name, value in metrics.items()}

    states = jax.jit(jax.vmap(run.init))(jnp.stack(student_keys(students)))
    held = [split_lead(mesh, states)]
    data = replicate(mesh, data)
    limit = replicate(mesh, np.int32(steps))
    chunk = compiled_chunk(step, steps, held[0], data)

    def turn() -> None:
        held[0] = jax.block_until_ready(chunk(held[0], data, limit))[0]

    return partial(timed, turn)


def student_keys(students: int) -> list[jax.Array]:
    """One key a student."""
    return list(jax.random.split(jax.random.key(SEED), students))


def timed(turn: Callable[[], None]) -> dict[str, float]:
    """Wall and processor seconds of a turn of ours."""
    wall, cpu = time.perf_counter(), time.process_time()
    turn()
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def their_turn(theirs: Reference, students: int) -> dict[str, float]:
    """Wall and processor seconds of a turn of theirs."""
    each: Any = theirs.run(students)
    return {kind: sum(taken[kind] for taken in each) for kind in ("wall", "cpu")}


def in_turns(turns: dict[str, Turn], rounds: int, steps: int) -> dict[str, Any]:
    """Seconds a step of every way, one after the other; the first round warms up."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in turns}
    for number in range(rounds + 1):
        for name, turn in turns.items():
            found = turn()
            taken[name] += [found] if number else []
    return {
        name: summary([found["wall"] / steps for found in all_])
        | {"cpu": round(min(found["cpu"] for found in all_) / steps, 4)}
        for name, all_ in taken.items()
    }


# Comparison ------------------------------------------------------------------------


def compared(row: dict[str, Any]) -> dict[str, Any]:
    """The row with our fastest way as `ours`, and its ratios."""
    ways = [name for name in ("one after another", "one a core", "vmap") if name in row]
    row["way"] = min(ways, key=lambda name: row[name]["best"])
    row["ours"] = row[row["way"]]
    extrapolated = {name: round(1001 * row[name]["best"], 1) for name in ways}
    if "theirs" in row:
        extrapolated["theirs"] = round(1001 * row["theirs"]["best"], 1)
        for kind in ("best", "median", "cpu"):
            ratio = row["theirs"][kind] / row["ours"][kind]
            row[f"speed, {kind}"] = round(ratio, 3)
    return row | {"seconds of 1001 steps, extrapolated": extrapolated}


def table(rows: list[dict[str, Any]]) -> str:
    """Wall and processor seconds of one step of all students, ratios of the best."""
    lines = [f"{'':22}{'wall, s':>10}{'median':>10}{'cpu, s':>10}{'speed':>8}"]
    for row in rows:
        lines.append(row["benchmark"])
        base = row.get("theirs")
        for name in ("theirs", "one after another", "one a core", "vmap"):
            if name not in row:
                continue
            entry = row[name]
            speed = f"{base['best'] / entry['best']:7.2f}x" if base else ""
            times = "".join(f"{entry[k]:10.4f}" for k in ("best", "median", "cpu"))
            lines.append(f"  {name:20}{times}{speed}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
