"""Training of experts against the authors' program, measured in turns in one run.

Experts of trajectory matching: ConvNet of depth 3, batches of 256 CIFAR-10 images
(noise where there is no CIFAR-10 in JAXDD_DATA), DSA. Theirs is the training function
of their buffer.py in PyTorch with as many threads as it likes (see
reference/trajectory/experts_torch.py). Ours is the step inside the compiled chunk that
records them: one expert with all threads, one a core, and on an accelerator 16 at once.
Each turn goes once over some images. Appends a row per width to
experiments/results/bench_experts.jsonl.

  git clone https://github.com/GeorgeCazenavette/mtt-distillation DIR
  python experiments/bench_experts.py --checkout DIR --torch-python PYTHON
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from benchmark import Reference, append, origin, summary

from jaxdd import whiten
from jaxdd.base import Corpus, PyTree
from jaxdd.data import corpus
from jaxdd.data.load import load
from jaxdd.devices.students import student_group
from jaxdd.errors import InputError
from jaxdd.loop.chunk import compiled_chunk
from jaxdd.prepare.expert_course import Course, course_of
from jaxdd.prepare.expert_training import begin_recording, recording_step
from jaxdd.records import (
    AugmentSpec,
    ConvNet,
    DataSpec,
    Experts,
    LoopConfig,
    OptimiserSpec,
    Recipe,
)

REFERENCE = (
    Path(__file__).resolve().parent / "reference" / "trajectory" / "experts_torch.py"
)
CLASSES, SHAPE, SEED, BATCH = 10, (32, 32, 3), 0, 256
STEPS = {128: 8, 32: 24}  # of a turn: some seconds on two cores
BARS = {128: 0.85, 32: 1.1}  # of the speed of theirs, on a CPU
AIM = 1.3
Turn = Callable[[], dict[str, float]]
"""Trains for one turn: wall and processor seconds."""


def main() -> None:
    """Measures each width, appends its row and prints a table of them."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkout", type=Path, help="a copy of mtt-distillation")
    parser.add_argument("--torch-python", type=Path, help="a Python with PyTorch")
    parser.add_argument("--torch-threads", type=int, default=0)
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 32])
    parser.add_argument("--steps", type=int, default=0, help="of a turn")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if "device_count" not in os.environ.get("XLA_FLAGS", ""):  # one device a core
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    rows = [measure(width, options) for width in options.widths]
    for row in rows:
        append("bench_experts", row)
    print(table(rows))


def real_images(count: int) -> Corpus:
    """So many training images."""
    cache = Path(os.environ.get("JAXDD_CACHE") or "~/.cache/jaxdd").expanduser()
    try:
        return load(DataSpec("cifar10", train_limit=count), cache=cache / "data").train
    except InputError:
        rng = np.random.default_rng(SEED)
        noise = rng.integers(0, 256, (count, *SHAPE), dtype=np.uint8)
        label = np.arange(count, dtype=np.int32) % CLASSES
        fitted = whiten.fit("standard", noise)
        return corpus.build(noise, label, fitted, name="noise")


def measure(width: int, options: argparse.Namespace) -> dict[str, Any]:
    """The row of one width."""
    steps = options.steps or STEPS.get(width, 8)
    images = real_images(steps * BATCH)
    course = course_of(experts(width), images)
    assert course.epoch_steps == steps
    many = jax.device_count() if jax.default_backend() == "cpu" else 16
    began = time.perf_counter()
    turns = {
        f"{count} at once": ours(course, count, steps) for count in sorted({1, many})
    }
    counts = {f"{count} at once": count for count in sorted({1, many})}
    row: dict[str, Any] = {
        "benchmark": f"experts, ConvNet-D3 width {width}, batch {BATCH}",
        "settings": {
            "images": f"{steps * BATCH} of {images.name}",
            "augmentation": "dsa",
            "rounds": options.rounds,
            "unit": "images per second",
        },
        "compile seconds": round(time.perf_counter() - began, 1),
    }
    theirs = None
    with tempfile.TemporaryDirectory() as folder:
        if options.checkout is not None and options.torch_python is not None:
            theirs = their_program(images, width, Path(folder), options)
            row["reference"] = theirs.about
            turns["theirs"] = partial(their_turn, theirs)
            counts["theirs"] = 1
        taken = in_turns(turns, options.rounds)
    if theirs is not None:
        theirs.close()
    for name, found in taken.items():
        row[name] = speeds(found, counts[name] * steps * BATCH)
    return compared(row, width) | origin()


def experts(width: int) -> Experts:
    """Those of MTT's buffer.py."""
    return Experts(
        network=ConvNet(width=(width,) * 3),
        recipe=Recipe(
            batch=BATCH,
            optimiser=OptimiserSpec("sgd", 0.01, 0.0),
            augment=AugmentSpec(policy="dsa"),
        ),
    )


def ours(course: Course, count: int, steps: int) -> Turn:
    """So many experts together, placed as a run places them."""
    group = student_group(LoopConfig(), count)
    step = recording_step(course.run, course.epoch_steps, 1)
    keys = jax.random.split(jax.random.key(SEED), count)
    state, data = begin_recording(course.run, 1, keys), course.data
    if group.lift is None or count == 1:
        state = jax.jit(lambda tree: jax.tree.map(lambda leaf: leaf[0], tree))(state)
    else:
        step = group.lift(step, shared=True)
        state, data = group.place(state), group.place_shared(data)
    limit: PyTree = np.int32(steps)
    if count > 1:
        limit = group.place_shared(jnp.asarray(limit))
    held = [state]
    chunk = compiled_chunk(step, steps, state, data)

    def turn() -> dict[str, float]:
        wall, cpu = time.perf_counter(), time.process_time()
        held[0] = jax.block_until_ready(chunk(held[0], data, limit))[0]
        return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}

    return turn


def their_program(
    images: Corpus, width: int, folder: Path, options: argparse.Namespace
) -> Reference:
    """The other program, on the same whitened images."""
    white = whiten.apply(images.whitening, whiten.to_unit(images.image))
    np.savez(folder / "images.npz", image=white, label=images.label)
    command = [str(options.torch_python), str(REFERENCE)]
    command += ["--checkout", str(options.checkout), "timing"]
    command += [str(folder / "images.npz"), "--width", str(width)]
    command += ["--batch", str(BATCH), "--threads", str(options.torch_threads)]
    return Reference(command)


def their_turn(theirs: Reference) -> dict[str, float]:
    """One epoch of theirs."""
    (taken,) = theirs.run(1)
    return taken  # type: ignore[return-value]


def in_turns(turns: dict[str, Turn], rounds: int) -> dict[str, list[dict[str, float]]]:
    """What each turn took, one way after the other; the first round warms up."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in turns}
    for number in range(rounds + 1):
        for name, turn in turns.items():
            found = turn()
            taken[name] += [found] if number else []
    return taken


def speeds(taken: list[dict[str, float]], images: int) -> dict[str, Any]:
    """Seconds of the turns, and images per second of the best and the median one."""
    seconds = summary([found["wall"] for found in taken])
    return {
        "best": round(images / seconds["best"], 1),
        "median": round(images / seconds["median"], 1),
        "cpu": round(images / min(found["cpu"] for found in taken), 1),
        "seconds": seconds["all"],
    }


def compared(row: dict[str, Any], width: int) -> dict[str, Any]:
    """The row with our fastest way as `ours`, its ratios, and the bars."""
    ways = [name for name in row if name.endswith("at once")]
    row["way"] = max(ways, key=lambda name: row[name]["best"])
    row["ours"] = row[row["way"]]
    if "theirs" in row:
        for kind in ("best", "median", "cpu"):
            row[f"speed, {kind}"] = round(row["ours"][kind] / row["theirs"][kind], 3)
        row["bar"], row["aim"] = BARS.get(width), AIM
    return row


def table(rows: list[dict[str, Any]]) -> str:
    """Images per second: best and median turn, and per processor second."""
    lines = [f"{'':22}{'best':>10}{'median':>10}{'cpu':>10}{'speed':>8}"]
    for row in rows:
        lines.append(row["benchmark"])
        base = row.get("theirs")
        for name in ("theirs", *(n for n in row if n.endswith("at once"))):
            if name not in row:
                continue
            entry = row[name]
            speed = f"{entry['best'] / base['best']:7.2f}x" if base else ""
            figures = "".join(f"{entry[k]:10.1f}" for k in ("best", "median", "cpu"))
            lines.append(f"  {name:20}{figures}{speed}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
