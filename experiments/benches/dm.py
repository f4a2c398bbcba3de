"""Seconds of a `dm` step against the authors' program, measured in turns in one run.

ConvNet of depth 3, ten classes of 32x32x3 images, 10 images per class, 256 real images
of each class a step, no augmentation on either side, the same arrays. Ours is the whole
distillation step inside the compiled chunk that runs it, sampling included; theirs is
one pass of their loop (see reference/matching/dm_torch.py). A row per width.

  git clone https://github.com/VICO-UoE/DatasetCondensation DIR
  python experiments/bench.py dm --checkout DIR --torch-python PYTHON
"""

import argparse
from collections.abc import Iterator
from typing import Any

import benchmark
import jax
import references
from benchmark import CLASSES, SEED, SHAPE

from jaxdd.base import Corpus, Task
from jaxdd.methods.matching.dm import DmConfig, dm
from jaxdd.records import ConvNet

NAMED = ("ipc", "batch", "steps", "chunk_real", "chunk_synthetic")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    references.add_options(parser, "DatasetCondensation")
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 32])
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=2, help="steps a round")
    parser.add_argument("--chunk-real", type=int, default=DmConfig().chunk_real)
    parser.add_argument("--chunk-synthetic", type=int, default=0)


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One per width."""
    real = benchmark.noise(512 * CLASSES)
    for width in options.widths:
        yield row(real, width, options)


def row(real: Corpus, width: int, options: argparse.Namespace) -> dict[str, Any]:
    """Both programs in turns."""
    config = DmConfig(
        network=ConvNet(width=(width,) * 3),
        batch=options.batch,
        chunk_real=options.chunk_real,
        chunk_synthetic=options.chunk_synthetic,
    )
    size, ipc = options.ipc * CLASSES, options.ipc
    method = dm(Task(SHAPE, CLASSES, size, ipc, 10**6, real.size), config)
    state = method.init(jax.random.key(SEED), real, {})
    ours = benchmark.ours(method, state, real, options.steps)
    settings = {name: getattr(options, name) for name in NAMED}
    arrays = {"image": benchmark.whitened(real), "label": real.label}
    command = ("--width", width, "--ipc", ipc, "--batch", options.batch)
    with references.running(
        options, "matching/dm_torch.py", *command, arrays=arrays
    ) as theirs:
        return {
            "benchmark": f"dm step, ConvNet-D3 width {width}",
            "settings": settings | {"width": width, "classes": CLASSES, "seed": SEED},
            "about": ours.about,
            "reference": theirs.about,
        } | benchmark.against({"ours": ours} | theirs.turns(options.steps), options)
