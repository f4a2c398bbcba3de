"""Training of experts against the authors' program, measured in turns in one run.

Experts of trajectory matching: ConvNet of depth 3, batches of 256 CIFAR-10 images
(noise where there is no CIFAR-10 in JAXDD_DATA), DSA. Theirs is the training function
of their buffer.py in PyTorch with as many threads as it likes (see
reference/trajectory/experts_torch.py). Ours is the step inside the compiled chunk that
records them: one expert with all threads, one a core, and on an accelerator 16 at once.
Each turn goes once over some images. A row per width.

  git clone https://github.com/GeorgeCazenavette/mtt-distillation DIR
  python experiments/bench.py experts --checkout DIR --torch-python PYTHON
"""

import argparse
from collections.abc import Iterator
from functools import partial
from typing import Any

import benchmark
import jax
import references
from benchmark import SEED

from jaxdd.devices.mesh import device_per_core
from jaxdd.devices.students import student_group
from jaxdd.prepare.expert_course import Course, course_of
from jaxdd.prepare.expert_training import begin_recording, recording_step
from jaxdd.records import (
    AugmentSpec,
    ConvNet,
    Experts,
    LoopConfig,
    Recipe,
    Sgd,
)

BATCH = 256
STEPS = {128: 8, 32: 24}  # of a turn: some seconds on two cores
BARS = {128: 0.85, 32: 1.1}  # of the speed of theirs, on a CPU
AIM = 1.3
table = partial(benchmark.ways_table, higher=True)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    references.add_options(parser, "mtt-distillation", threads=True)
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 32])
    parser.add_argument("--steps", type=int, default=0, help="of a turn")
    parser.add_argument("--rounds", type=int, default=3)


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One per width."""
    device_per_core()
    for width in options.widths:
        yield row(width, options)


def row(width: int, options: argparse.Namespace) -> dict[str, Any]:
    """One at once and as many as there are places, and theirs, in turns."""
    steps = options.steps or STEPS.get(width, 8)
    images = benchmark.cifar10(steps * BATCH, instead=steps * BATCH)
    course = course_of(experts(width), images)
    assert course.epoch_steps == steps
    many = jax.device_count() if jax.default_backend() == "cpu" else 16
    counts = {f"{count} at once": count for count in sorted({1, many})}
    ways = {name: recording(course, count, steps) for name, count in counts.items()}
    row: dict[str, Any] = {
        "benchmark": f"experts, ConvNet-D3 width {width}, batch {BATCH}",
        "settings": {
            "images": f"{steps * BATCH} of {images.name}",
            "augmentation": "dsa",
            "rounds": options.rounds,
            "unit": "images per second",
        },
        "about": {name: way.about for name, way in ways.items()},
    }
    arrays = {"image": benchmark.whitened(images), "label": images.label}
    with references.running(
        *(options, "trajectory/experts_torch.py", "--width", width, "--batch", BATCH),
        arrays=arrays,
    ) as theirs:
        row["reference"] = theirs.about
        found = benchmark.measured(ways | theirs.turns(1, steps), options.rounds)
    for name, seconds in found.items():
        row[name] = benchmark.rates(seconds, counts.get(name, 1) * BATCH)
    row |= benchmark.fastest(row, list(ways), higher=True)
    return row | {"bar": BARS.get(width), "aim": AIM}


def experts(width: int) -> Experts:
    """Those of MTT's buffer.py."""
    return Experts(
        network=ConvNet(width=(width,) * 3),
        recipe=Recipe(
            batch=BATCH,
            optimiser=Sgd(0.01, 0.0),
            augment=AugmentSpec(policy="dsa"),
        ),
    )


def recording(course: Course, count: int, steps: int) -> benchmark.Program:
    """So many experts together, placed as a run places them."""
    group = student_group(LoopConfig(), count)
    step = recording_step(course.run, course.epoch_steps, 1)
    keys = jax.random.split(jax.random.key(SEED), count)
    state = begin_recording(course.run, 1, keys)
    if group.lift is None or count == 1:
        state = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf[0], tree))(state)
    else:
        step, state = group.lift(step, shared=True), group.place(state)
    return benchmark.Program(step, state, course.data, steps)
