"""Seconds of a `krr_ssl` step against the authors' program, in turns in one run.

The paper's network for CIFAR-100 (128-256-512), m = 100, 256 real images a step, a pool
of 10, and a ResNet-18 as teacher; no augmentation and no ageing of the pool on either
side, the same arrays. Ours is the whole distillation step inside the compiled chunk
that runs it; theirs is their outer step (see reference/kernel/krr_st_torch.py), which
has the teacher in the loop. Rows of speed and of memory.

  git clone https://github.com/db-Lee/selfsup_dd DIR
  python experiments/bench.py krr_ssl --checkout DIR --torch-python PYTHON
"""

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import benchmark
import jax
import jax.numpy as jnp
import numpy as np
import references
from benchmark import SEED, SHAPE

from jaxdd import networks
from jaxdd.base import (
    Array,
    Batch,
    Network,
    Synthetic,
    Task,
    TeacherAsset,
    Variables,
)
from jaxdd.kernels.ridge import KRR_ST
from jaxdd.methods.kernel.krr_ssl import KrrSslConfig, krr_ssl
from jaxdd.networks.teacher import represent
from jaxdd.objectives.regression import krr_mse
from jaxdd.pools import Life, online
from jaxdd.training import optimisers

OUTPUTS = 512
# CIFAR-100 with crops of 4 pixels and flips: what a cache of the teacher must hold.
CACHED_VIEWS = 50_000 * 162
NAMED = ("size", "batch", "steps", "chunk_synthetic", "chunk_real", "precision")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    references.add_options(parser, "selfsup_dd")
    parser.add_argument("--size", type=int, default=100, help="synthetic images")
    parser.add_argument("--batch", type=int, default=256, help="real images a step")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="steps a round")
    parser.add_argument("--chunk-synthetic", type=int, default=0)
    parser.add_argument("--chunk-real", type=int, default=0)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--only", choices=["speed", "memory"])


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Speed with the teacher in the loop and with its outputs given, and memory."""
    if options.only != "memory":
        yield from speed(options)
    if options.only != "speed":
        yield memory(options.batch)


# Speed -----------------------------------------------------------------------------


def speed(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row with the teacher in the loop, and one with its outputs cached.

    The authors' program has no cache, so `speed` is against it with the teacher in the
    loop. With cached outputs, `speed against outputs given` is against the same program
    that gets them for nothing.
    """
    arrays = random_arrays(options)
    mine = our_programs(options, arrays)
    start = lambda kind: references.running(
        options, "kernel/krr_st_torch.py", "--teacher", kind, arrays=arrays
    )
    with start("loop") as loop, start("cached") as cached:
        theirs = {"in the loop": loop, "cached": cached}
        turns = {("ours", kind): program for kind, program in mine.items()}
        for kind, program in theirs.items():
            turns |= {(n, kind): t for n, t in program.turns(options.steps).items()}
        found = benchmark.measured(turns, options.rounds)
    other, given = (found.get(("theirs", kind)) for kind in theirs)
    settings = {name: getattr(options, name) for name in NAMED}
    rows = [
        {
            "benchmark": f"krr_ssl step, teacher {kind}",
            "settings": settings | {"pool": KrrSslConfig().pool, "seed": SEED},
            "about": program.about,
            "reference": {name: process.about for name, process in theirs.items()},
            "ours": found["ours", kind],
            "theirs": other,
        }
        | benchmark.compared(found["ours", kind], other)
        for kind, program in mine.items()
    ]
    rows[-1] |= benchmark.compared(
        rows[-1]["ours"], given, "speed against outputs given"
    )
    image_seconds = teacher_seconds(options.precision, arrays["x_b"])
    rows[-1]["teacher seconds an image"] = round(image_seconds, 5)
    rows[-1]["cache hours, CIFAR-100"] = round(image_seconds * CACHED_VIEWS / 3600, 1)
    return rows


def random_arrays(options: argparse.Namespace) -> dict[str, np.ndarray]:
    """The arrays both programs get."""
    rng = np.random.default_rng(SEED)
    shapes = {"x_s": (options.size, *SHAPE), "y_s": (options.size, OUTPUTS)}
    shapes |= {"x_b": (options.batch, *SHAPE), "y_b": (options.batch, OUTPUTS)}
    return {k: rng.standard_normal(s, np.float32) for k, s in shapes.items()}


def our_programs(
    options: argparse.Namespace, arrays: dict[str, np.ndarray]
) -> dict[str, benchmark.Program]:
    """The method with its teacher in the loop, and with the teacher's outputs."""
    config = KrrSslConfig(
        batch=options.batch,
        chunk_synthetic=options.chunk_synthetic,
        chunk_real=options.chunk_real,
    )
    task = Task(SHAPE, 0, options.size, None, 160_000, 50_000, dtype=options.precision)
    method = krr_ssl(task, config)
    assets = {"teacher": teacher_asset(options.precision)[1]}
    real = benchmark.noise(options.size, classes=0)
    state = method.init(jax.random.key(SEED), real, assets)
    x_s, y_s, x_b, y_b = (jnp.asarray(arrays[k]) for k in ("x_s", "y_s", "x_b", "y_b"))
    state = state._replace(params={"image": x_s, "target": y_s})
    bare = Batch(x_b, None, jnp.arange(options.batch), jnp.ones(options.batch))
    batches = {"in the loop": bare, "cached": bare._replace(target=y_b)}
    return {
        kind: benchmark.ours(method, state, batch, options.steps, assets)
        for kind, batch in batches.items()
    }


def teacher_asset(precision: str) -> tuple[Callable, TeacherAsset]:
    """How the default teacher is applied, and the teacher, untrained."""
    body, apply, _ = represent(KrrSslConfig().teacher, SHAPE, precision)
    return apply, TeacherAsset(jax.jit(body.init)(jax.random.key(SEED)))


def teacher_seconds(precision: str, image: np.ndarray) -> float:
    """The seconds the teacher takes for an image, the best of three."""
    apply, asset = teacher_asset(precision)
    forward = benchmark.Compiled(apply, asset.variables, image)
    found = benchmark.measured({"teacher": forward}, 3)
    return found["teacher"]["best"] / len(image)


# Memory ----------------------------------------------------------------------------


def memory(batch: int) -> dict[str, Any]:
    """The temporary MB of the compiled parts, at m = 100 and m = 1000."""
    row: dict[str, Any] = {
        "benchmark": "krr_ssl temporary memory, MB",
        "settings": {"batch": batch},
    }
    for conv in ("cpu", "stock"):
        spec = dataclasses.replace(KrrSslConfig().network, conv=conv)
        network = networks.build(spec, SHAPE, OUTPUTS)
        unit = 1000 * (network.feature_dim + 1) * 4 / 1e6
        row["one array (m, d+1) at m = 1000"] = round(unit, 1)
        for chunks in ((10, 32), (100, 32), (None, None)):
            low, high = (
                objective_memory(network, m, batch, *chunks) for m in (100, 1000)
            )
            row[f"outer gradient, chunks {chunks}, {conv} convolution"] = {
                "m=100": round(low, 1),
                "m=1000": round(high, 1),
                "growth in arrays": round((high - low) / unit, 2),
                "growth": f"{high / low - 1:.1%}",
            }
        row[f"pool update (full batch), {conv} convolution"] = {
            f"m={m}": round(pool_memory(network, m), 1) for m in (100, 1000)
        }
    return row


def abstract(size: int) -> tuple[jax.ShapeDtypeStruct, jax.ShapeDtypeStruct]:
    """So many float32 images and targets without values."""
    shapes = (size, *SHAPE), (size, OUTPUTS)
    image, target = (jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes)
    return image, target


def objective_memory(
    network: Network,
    rows: int,
    batch: int,
    chunk_synthetic: int | None,
    chunk_real: int | None,
) -> float:
    """MB of the outer loss and its gradient."""
    objective = krr_mse(
        network, KRR_ST, chunk_synthetic=chunk_synthetic, chunk_real=chunk_real
    )

    def gradient(
        pair: tuple[Array, Array], real: tuple[Array, Array], variables: Variables
    ) -> tuple:
        drawn = Batch(*real, jnp.arange(batch), jnp.ones(batch))
        loss = lambda pair: objective(
            Synthetic(*pair, jnp.ones(rows)), drawn, variables, {}, jax.random.key(0)
        )
        return jax.value_and_grad(loss, has_aux=True)(pair)

    variables = jax.eval_shape(network.init, jax.random.key(0))
    pairs = abstract(rows), abstract(batch)
    return benchmark.Compiled(gradient, *pairs, variables).about["MB"]


def pool_memory(network: Network, rows: int) -> float:
    """MB of updating one network of the pool, batch norm over the whole set."""
    optimiser = optimisers.build(KrrSslConfig().network_optimiser, 1000)
    pool = online(network, Life(1000), size=10, optimiser=optimiser)
    key: Any = jax.random.key(SEED)
    nothing: Any = None  # neither needs a batch, nor a set to start from
    members = jax.eval_shape(lambda: pool.init(key, {}, nothing))

    def update(members: Any, image: Array, target: Array) -> Any:
        synthetic = Synthetic(image, target, jnp.ones(rows))
        return pool.update(key, members, jnp.int32(0), synthetic, nothing)

    return benchmark.Compiled(update, members, *abstract(rows)).about["MB"]
