"""Seconds of a `frepo` step against the authors' program on the same jax, in turns.

A step is everything between two real batches: features of the real images, gradient by
the set, LAMB, one step of the drawn network. Theirs is called as their loop calls it,
on the host, a jitted function at a time (see reference/kernel/frepo_jax.py); ours is
the whole step inside the compiled chunk that runs it. Both get the same arrays; images
have three channels, which both programs pad alike.

  small: the CPU recipe, 16x16 pixels, widths 16-32, no norm, m = 10, 256 real images
  full: the authors' network for CIFAR-10 at m = 10, with mirror images

A row for each.

  git clone https://github.com/yongchao97/FRePo DIR
  python experiments/bench.py frepo --checkout DIR
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import benchmark
import jax
import jax.numpy as jnp
import numpy as np
import references
from benchmark import CLASSES, SEED

from jaxdd.base import Batch, Task
from jaxdd.methods.kernel.frepo import FrepoConfig, frepo
from jaxdd.records import (
    Adam,
    BatchNorm,
    ConvNet,
    Decay,
    Lamb,
)

STEPS, RATE, NETWORK_RATE = 1000, 3e-3, 9e-4


SAME = ("width", "depth", "norm", "flip")  # of a case, for both programs


class Case(NamedTuple):
    """What is timed."""

    side: int
    width: int
    depth: int
    norm: str  # theirs
    flip: bool
    batch: int
    steps: int  # of a round


CASES = {
    "small": Case(16, 16, 2, "identity", False, 256, 30),
    "full": Case(32, 128, 3, "batch", True, 256, 1),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    parser.add_argument("--checkout", type=Path, help="a copy of FRePo")
    parser.add_argument("--case", choices=[*CASES, "all"], default="all")
    parser.add_argument("--batch", type=int, default=0, help="real images of full")
    parser.add_argument("--rounds", type=int, default=5)


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One per case."""
    for name, case in CASES.items():
        if options.case in (name, "all"):
            if name == "full" and options.batch:
                case = case._replace(batch=options.batch)
            yield {"benchmark": f"frepo step, {name}"} | row(case, options)


def row(case: Case, options: argparse.Namespace) -> dict[str, Any]:
    """Both programs in turns."""
    arrays = random_arrays(case)
    programs: dict[str, benchmark.Turn] = {"ours": ours(case, arrays)}
    if options.checkout is not None:
        config, rates = FrepoConfig(), {"rate": RATE, "inner_rate": NETWORK_RATE}
        same = {"pool": config.pool, "max_age": config.max_age, "steps": STEPS}
        same |= {name: getattr(case, name) for name in SAME}
        frepo_jax = references.adapter("kernel/frepo_jax.py")
        loop = frepo_jax.Loop(options.checkout, arrays, **same, **rates)
        programs["theirs"] = benchmark.repeated(loop.run, case.steps)
    return {"settings": case._asdict()} | benchmark.against(programs, options)


def random_arrays(case: Case) -> dict[str, np.ndarray]:
    """The arrays both programs get."""
    rng = np.random.default_rng(SEED)
    shape = case.side, case.side, 3
    draw = lambda count: rng.standard_normal((count, *shape), np.float32)
    label = rng.integers(0, CLASSES, case.batch)
    centred = lambda rows: (np.eye(CLASSES)[rows] - 1 / CLASSES).astype(np.float32)
    arrays = {"x_s": draw(CLASSES), "y_s": centred(np.arange(CLASSES))}
    return arrays | {"x_b": draw(case.batch), "y_b": centred(label)}


def ours(case: Case, arrays: dict[str, np.ndarray]) -> benchmark.Program:
    """Our steps on the given batch."""
    spec = ConvNet(
        width=tuple(case.width * 2**block for block in range(case.depth)),
        norm="batch" if case.norm == "batch" else "none",
        initialiser="flax",
        norm_place="before",
        batch_norm=BatchNorm(0.1, "biased"),
    )
    config = FrepoConfig(
        network=spec,
        network_optimiser=Adam(NETWORK_RATE),
        optimiser=Lamb(RATE, schedule=Decay("cosine", 0.1)),
        batch=case.batch,
        mirror=case.flip,
    )
    x_s, y_s, x_b, y_b = map(jnp.asarray, arrays.values())
    shape = x_s.shape[1:]
    method = frepo(Task(shape, CLASSES, CLASSES, 1, STEPS, 50_000), config)
    real = benchmark.noise(100, shape=shape)
    state = method.init(jax.random.key(SEED), real, {})
    state = state._replace(params={"image": x_s, "target": y_s})
    batch = Batch(x_b, y_b, jnp.arange(case.batch), jnp.ones(case.batch))
    return benchmark.ours(method, state, batch, case.steps)
