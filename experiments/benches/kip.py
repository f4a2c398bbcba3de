"""Seconds of a `kip` step against neural-tangents, measured in turns in one process.

FC1 NTK, ten classes of 32x32x3 images, 10 synthetic images of each, 10,000 real ones,
float32. Ours is the method's step on a given batch; theirs that of kip/KIP.ipynb (see
reference/kernel/kip_jax.py); a third program times ours with sampling and whitening.
The FLOPs are those of the two products with the real images, forward and backward, and
the limit is what one product of that shape takes here; the bytes are what must pass
memory.

  pip install --no-deps neural-tangents frozendict  # without it only our own times
  python experiments/bench.py kip
"""

import argparse
from collections.abc import Iterator
from typing import Any

import benchmark
import jax
import numpy as np
import references
from benchmark import CLASSES, SEED, SHAPE

from jaxdd.base import Task
from jaxdd.data.feeds import sample
from jaxdd.errors import InputError
from jaxdd.methods.kernel.kip import KipConfig, kip
from jaxdd.records import (
    Fc,
    WideKernel,
)
from jaxdd.training.losses import centred_one_hot


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All programs in turns."""
    real = benchmark.noise(options.batch)
    spec = WideKernel("ntk", Fc(options.depth))
    size = options.ipc * CLASSES
    method = kip(
        Task(SHAPE, CLASSES, size, options.ipc, 10**6, real.size),
        KipConfig(kernel=spec, batch=options.batch),
    )
    state = method.init(jax.random.key(SEED), real, {})
    batch = jax.jit(lambda s: sample(method.feed, real, {}, s.key, s.step))(state)
    image, few = batch.image.reshape(-1, *SHAPE), state.params["image"]
    label = centred_one_hot(batch.target.reshape(-1), CLASSES)
    programs: dict[str, benchmark.Turn] = {"ours": benchmark.ours(method, state, batch)}
    try:
        theirs, begin = references.adapter("kernel/kip_jax.py").notebook_step(spec, few)
        programs["theirs"] = benchmark.Program(theirs, begin, (image, label))
    except InputError as error:
        print(error)
    flat = (array.reshape(len(array), -1) for array in (image, few))
    programs["ours with sampling"] = benchmark.ours(method, state, real)
    programs["product"] = benchmark.Compiled(lambda many, few: many @ few.T, *flat)
    row = {
        "benchmark": f"kip step, FC{options.depth} NTK",
        "settings": {"ipc": options.ipc, "batch": options.batch, "classes": CLASSES},
    } | benchmark.against(programs, options)
    limit = {kind: 2 * value for kind, value in row["product"].items() if kind != "all"}
    row |= benchmark.compared(row["ours"], limit, "share of the products' limit")
    pairs, pixels = size * options.batch, int(np.prod(SHAPE))
    row["GFLOP of the products"] = round(2 * 2 * pairs * pixels / 1e9, 2)
    moved = 4 * (2 * options.batch * pixels + 2 * pairs)
    yield row | {"MB read at least": round(moved / 1e6, 1)}
