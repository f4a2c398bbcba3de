"""Seconds of a `dm` step against the authors' program, measured in turns in one run.

ConvNet of depth 3, ten classes of 32x32x3 images, 10 images per class, 256 real images
of each class a step, no augmentation on either side, the same arrays. Ours is the whole
distillation step inside the compiled chunk that runs it, sampling included; theirs is
one pass of their loop (see reference/matching/dm_torch.py). Appends a row per width to
experiments/results/bench_dm.jsonl.

  git clone https://github.com/VICO-UoE/DatasetCondensation DIR
  python experiments/bench_dm.py --checkout DIR --torch-python PYTHON
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from benchmark import Reference, append, origin, summary

from jaxdd import whiten
from jaxdd.base import Corpus, Metrics, State, Task
from jaxdd.data import corpus
from jaxdd.data.feeds import sample
from jaxdd.loop.chunk import compiled_chunk
from jaxdd.methods.matching.dm import DmConfig, dm
from jaxdd.records import (
    ConvNet,
)

REFERENCE = Path(__file__).resolve().parent / "reference" / "matching" / "dm_torch.py"
CLASSES, PER_CLASS, SHAPE = 10, 512, (32, 32, 3)
SEED = 0


def main() -> None:
    """Measures each width and appends its row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkout", type=Path, help="a copy of DatasetCondensation")
    parser.add_argument("--torch-python", type=Path, help="a Python with PyTorch")
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 32])
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2, help="steps a round")
    parser.add_argument("--chunk-real", type=int, default=DmConfig().chunk_real)
    parser.add_argument("--chunk-synthetic", type=int, default=0)
    options = parser.parse_args()
    real = noise_corpus()
    for width in options.widths:
        append("bench_dm", measure(real, width, options))


def noise_corpus() -> Corpus:
    """Random images that both programs get."""
    rng = np.random.default_rng(SEED)
    image = rng.integers(0, 256, (CLASSES * PER_CLASS, *SHAPE), dtype=np.uint8)
    label = np.arange(len(image), dtype=np.int32) % CLASSES
    return corpus.build(image, label, whiten.fit("standard", image), name="noise")


def measure(real: Corpus, width: int, options: argparse.Namespace) -> dict[str, Any]:
    """The row of one width: both programs in turns, after one turn to warm up."""
    ours, theirs = Program(real, width, options), reference(real, width, options)
    programs = {"ours": ours} | ({"theirs": theirs} if theirs else {})
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(options.rounds + 1):
        for name, program in programs.items():
            taken = program.run(options.steps)
            seconds[name] += taken if turn else []
    row: dict[str, Any] = {
        "benchmark": f"dm step, ConvNet-D3 width {width}",
        "settings": {
            name: getattr(options, name)
            for name in ("ipc", "batch", "steps", "chunk_real", "chunk_synthetic")
        }
        | {"width": width, "classes": CLASSES, "seed": SEED},
        "compile seconds": ours.compile_seconds,
    }
    row |= {name: summary(taken) for name, taken in seconds.items()}
    if theirs:
        theirs.close()
        row["reference"] = theirs.about
        for kind in ("best", "median"):
            ratio = row["theirs"][kind] / row["ours"][kind]
            row[f"speed, {kind}"] = round(ratio, 3)
    return row | {"origin": origin()}


class Program:
    """Our whole step, sampling included, in the chunk that the runner compiles."""

    def __init__(self, real: Corpus, width: int, options: argparse.Namespace) -> None:
        config = DmConfig(
            network=ConvNet(width=(width,) * 3),
            batch=options.batch,
            chunk_real=options.chunk_real,
            chunk_synthetic=options.chunk_synthetic,
        )
        size = options.ipc * CLASSES
        method = dm(Task(SHAPE, CLASSES, size, options.ipc, 10**6, real.size), config)

        def step(state: State, data: Corpus) -> tuple[State, Metrics]:
            batch = sample(method.feed, data, {}, state.key, state.step)
            return method.step(state, batch, {})

        state = method.init(jax.random.key(SEED), real, {})
        self._state, self._real = jax.tree.map(jax.numpy.copy, state), real
        began = time.perf_counter()
        self._chunk = compiled_chunk(step, options.steps, self._state, real)
        self.compile_seconds = round(time.perf_counter() - began, 2)

    def run(self, steps: int) -> list[float]:
        """Seconds of a step, once for each of the next steps."""
        began = time.perf_counter()
        result = self._chunk(self._state, self._real, np.int32(steps))
        self._state = jax.block_until_ready(result[0])
        return [(time.perf_counter() - began) / steps] * steps


def reference(
    real: Corpus, width: int, options: argparse.Namespace
) -> Reference | None:
    """The authors' program on the same images; None where it was not given."""
    if options.torch_python is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays.npz"
        image = whiten.apply(real.whitening, whiten.to_unit(real.image))
        np.savez(path, image=np.asarray(image), label=np.asarray(real.label))
        command = [str(options.torch_python), str(REFERENCE), "--checkout"]
        command += [str(options.checkout), "timing", str(path), "--width", str(width)]
        command += ["--ipc", str(options.ipc), "--batch", str(options.batch)]
        return Reference(command)


if __name__ == "__main__":
    main()
