"""Ten students of one set against the authors' program, measured in turns in one run.

The set is a random subset of CIFAR-10, 10 images per class (noise where there is no
CIFAR-10 in JAXDD_DATA); ConvNet of depth 3 under the protocol `vico`, DSA included.
Theirs is their own training function, one student after another in PyTorch with as many
threads as it likes (see reference/training/students_torch.py). Ours is the step inside
the compiled chunk that runs it: students one after another with all threads, one a core
(the mesh's axis `seed`), and all together (vmap). Each turn trains every student for
some steps; a whole training has 1001 like them, which the row extrapolates. A row per
width.

  git clone https://github.com/VICO-UoE/DatasetCondensation DIR
  python experiments/bench.py students --checkout DIR --torch-python PYTHON
"""

import argparse
from collections.abc import Iterator
from typing import Any, Literal

import benchmark
import jax
import jax.numpy as jnp
import numpy as np
import references
from benchmark import CLASSES, SEED, SHAPE

from jaxdd import networks
from jaxdd.base import Metrics, PyTree
from jaxdd.devices.mesh import device_per_core, make_mesh, split_lead, spread
from jaxdd.presets.protocols import PROTOCOLS
from jaxdd.records import ConvNet
from jaxdd.select import random_rows, subset
from jaxdd.training import Trainer, trainer
from jaxdd.training.batches import array_source, in_steps

STEPS = {128: 12, 32: 60}  # of a turn: about ten seconds on two cores
table = benchmark.ways_table


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    references.add_options(parser, "DatasetCondensation", threads=True)
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 32])
    parser.add_argument("--students", type=int, default=10)
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--steps", type=int, default=0, help="of a turn")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vmap-steps", type=int, default=1, help="0 leaves it out")


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One per width."""
    device_per_core()
    train = benchmark.cifar10(None, instead=20 * options.ipc * CLASSES)
    key = jax.random.key(SEED)
    chosen = subset(train, random_rows(key, train, CLASSES * options.ipc, options.ipc))
    data = np.asarray(chosen.image), np.asarray(chosen.target)
    for width in options.widths:
        yield row(data, train.name, width, options)


def row(
    data: tuple[np.ndarray, np.ndarray],
    name: str,
    width: int,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """All ways of ours and theirs in turns."""
    steps, size = options.steps or STEPS.get(width, 20), len(data[1])
    many = options.students
    run = student(width, size)
    one = alone(run, data, many, steps)
    cores = together(run, data, many, steps, "map")
    ways = {"one after another": benchmark.one_by_one(one), "one a core": cores}
    row: dict[str, Any] = {
        "benchmark": f"{many} students, ConvNet-D3 width {width}, {size} images",
        "settings": settings(name, steps, options),
        "about": {"one student": one[0].about, "one a core": cores.about},
    }
    arrays = dict(zip(("image", "label"), data, strict=True))
    with references.running(
        *(options, "training/students_torch.py", "--width", width, "--steps", steps),
        arrays=arrays,
    ) as theirs:
        row["reference"] = theirs.about
        turns = theirs.turns(many, steps)
        turns = {who: benchmark.one_by_one([turn]) for who, turn in turns.items()}
        row |= benchmark.measured(ways | turns, options.rounds)
    if options.vmap_steps:
        vmap = together(run, data, many, options.vmap_steps, "vmap")
        row |= benchmark.measured({"vmap": vmap}, 1)
        ways["vmap"] = vmap
    row |= benchmark.fastest(row, list(ways))
    row["seconds of 1001 steps, extrapolated"] = {
        name: round(1001 * row[name]["best"], 1) for name in (*ways, *turns)
    }
    return row


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


def student(width: int, size: int) -> Trainer:
    """The training of one student of a set of so many images."""
    spec = ConvNet(width=(width,) * 3)
    recipe = in_steps(PROTOCOLS["vico"].train, size)
    return trainer(array_source(recipe), networks.build(spec, SHAPE, CLASSES), recipe)


def alone(
    run: Trainer, data: PyTree, students: int, steps: int
) -> list[benchmark.Program]:
    """Students of one program each, on one device with all of its threads."""
    states = [jax.jit(run.init)(key) for key in keys(students)]
    first = benchmark.Program(run.step, states[0], data, steps)
    return [first, *map(first.again, states[1:])]


def together(
    run: Trainer,
    data: PyTree,
    students: int,
    steps: int,
    how: Literal["map", "vmap"],
) -> benchmark.Program:
    """Students in one program, a share of them on each device."""
    count = jax.device_count()
    mesh = make_mesh(count, 1) if count > 1 and students % count == 0 else None
    many = spread(mesh, how, run.step, shared=True)

    def step(states: PyTree, data: PyTree) -> tuple[PyTree, Metrics]:
        states, metrics = many(states, data)
        return states, {name: jnp.mean(value) for name, value in metrics.items()}

    states = split_lead(mesh, jax.jit(jax.vmap(run.init))(keys(students)))
    return benchmark.Program(step, states, data, steps)


def keys(students: int) -> jax.Array:
    """One key a student."""
    return jax.random.split(jax.random.key(SEED), students)
