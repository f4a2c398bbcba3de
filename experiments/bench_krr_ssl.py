"""Seconds of a `krr_ssl` step against the authors' program, in turns in one run.

The paper's network for CIFAR-100 (128-256-512), m = 100, 256 real images a step, a pool
of 10, and a ResNet-18 as teacher; no augmentation and no ageing of the pool on either
side, the same arrays. Ours is the whole distillation step inside the compiled chunk
that runs it; theirs is their outer step (see reference/kernel/krr_st_torch.py), which
has the teacher in the loop. Appends rows of speed and of memory to
experiments/results/bench_krr_ssl.jsonl.

  git clone https://github.com/db-Lee/selfsup_dd DIR
  python experiments/bench_krr_ssl.py --checkout DIR --torch-python PYTHON
"""

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from benchmark import Reference, append, origin, summary

from jaxdd import networks, whiten
from jaxdd.base import (
    Array,
    Assets,
    Batch,
    Distiller,
    Network,
    State,
    Synthetic,
    Task,
    TeacherAsset,
    Variables,
)
from jaxdd.data import corpus
from jaxdd.kernels.ridge import KRR_ST
from jaxdd.loop.chunk import compiled_chunk
from jaxdd.methods.kernel.krr_ssl import KrrSslConfig, krr_ssl
from jaxdd.networks.teacher import represent
from jaxdd.objectives.regression import krr_mse
from jaxdd.pools import online
from jaxdd.training import optimisers

REFERENCE = Path(__file__).resolve().parent / "reference" / "kernel" / "krr_st_torch.py"
OUTPUTS, SHAPE, SEED = 512, (32, 32, 3), 0
# CIFAR-100 with crops of 4 pixels and flips: what a cache of the teacher must hold.
CACHED_VIEWS = 50_000 * 162


def main() -> None:
    """Measures speed and memory and appends their rows."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkout", type=Path, help="a copy of selfsup_dd")
    parser.add_argument("--torch-python", type=Path, help="a Python with PyTorch")
    parser.add_argument("--size", type=int, default=100, help="synthetic images")
    parser.add_argument("--batch", type=int, default=256, help="real images a step")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="steps a round")
    parser.add_argument("--chunk-synthetic", type=int, default=0)
    parser.add_argument("--chunk-real", type=int, default=0)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--only", choices=["speed", "memory"])
    options = parser.parse_args()
    rows = [] if options.only == "memory" else speed(options)
    rows += [] if options.only == "speed" else [memory(options.batch)]
    for row in rows:
        append("bench_krr_ssl", row | {"origin": origin()})


# Speed -----------------------------------------------------------------------------


def speed(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row with the teacher in the loop, and one with its outputs cached."""
    arrays = random_arrays(options)
    ours, theirs = our_programs(options, arrays), references(options, arrays)
    programs = {("ours", kind): program for kind, program in ours.items()}
    programs |= {("theirs", kind): program for kind, program in theirs.items()}
    seconds: dict[tuple[str, str], list[float]] = {name: [] for name in programs}
    for turn in range(options.rounds + 1):
        for name, program in programs.items():
            taken = program.run(options.steps)
            seconds[name] += taken if turn else []
    for program in theirs.values():
        program.close()
    measured = {name: summary(taken) for name, taken in seconds.items()}
    rows = [
        {
            "benchmark": f"krr_ssl step, teacher {kind}",
            "settings": settings(options),
            "compile seconds": program.compile_seconds,
            **compared(kind, measured),
        }
        for kind, program in ours.items()
    ]
    image_seconds = teacher_seconds(options.precision, arrays["x_b"])
    rows[-1]["teacher seconds an image"] = round(image_seconds, 5)
    rows[-1]["cache hours, CIFAR-100"] = round(image_seconds * CACHED_VIEWS / 3600, 1)
    for row in rows:
        row["reference"] = {kind: program.about for kind, program in theirs.items()}
    return rows


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """What a row must say to be repeated."""
    names = ("size", "batch", "steps", "chunk_synthetic", "chunk_real", "precision")
    chosen = {name: getattr(options, name) for name in names}
    return chosen | {"pool": KrrSslConfig().pool, "seed": SEED}


def compared(kind: str, measured: dict[tuple[str, str], dict]) -> dict[str, Any]:
    """Our seconds, the reference's, and their ratios.

    The authors' program has no cache, so `speed` is against it with the teacher in the
    loop. With cached outputs, `speed against outputs given` is against the same program
    that gets them for nothing.
    """
    mine, theirs = measured["ours", kind], measured.get(("theirs", "in the loop"))
    row: dict[str, Any] = {"ours": mine, "theirs": theirs}
    given = measured.get(("theirs", "cached")) if kind == "cached" else None
    for label, other in (("speed", theirs), ("speed against outputs given", given)):
        if other is not None:
            for which in ("best", "median"):
                row[f"{label}, {which}"] = round(other[which] / mine[which], 3)
    return row


class Program:
    """Our whole step in the chunk that the runner compiles."""

    def __init__(
        self, method: Distiller, state: State, data: tuple[Batch, Assets], steps: int
    ) -> None:
        # It consumes its state, which others start from too.
        self._state, self._data = jax.tree.map(jnp.copy, state), data
        step = lambda state, data: method.step(state, *data)
        began = time.perf_counter()
        self._chunk = compiled_chunk(step, steps, self._state, data)
        self.compile_seconds = round(time.perf_counter() - began, 2)

    def run(self, steps: int) -> list[float]:
        """Seconds of a step, once for each of the next steps."""
        began = time.perf_counter()
        result = self._chunk(self._state, self._data, np.int32(steps))
        self._state = jax.block_until_ready(result[0])
        return [(time.perf_counter() - began) / steps] * steps


def random_arrays(options: argparse.Namespace) -> dict[str, np.ndarray]:
    """The arrays both programs get."""
    rng = np.random.default_rng(SEED)
    shapes = {"x_s": (options.size, *SHAPE), "y_s": (options.size, OUTPUTS)}
    shapes |= {"x_b": (options.batch, *SHAPE), "y_b": (options.batch, OUTPUTS)}
    return {k: rng.standard_normal(s, np.float32) for k, s in shapes.items()}


def references(
    options: argparse.Namespace, arrays: dict[str, np.ndarray]
) -> dict[str, Reference]:
    """The authors' program both ways; nothing where it was not given."""
    if options.torch_python is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "arrays.npz"
        np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
        command = [str(options.torch_python), str(REFERENCE), "--checkout"]
        command += [str(options.checkout), "timing", str(path), "--teacher"]
        kinds = {"in the loop": "loop", "cached": "cached"}
        return {kind: Reference([*command, word]) for kind, word in kinds.items()}


def our_programs(
    options: argparse.Namespace, arrays: dict[str, np.ndarray]
) -> dict[str, Program]:
    """The method with its teacher in the loop, and with the teacher's outputs."""
    config = KrrSslConfig(
        batch=options.batch,
        chunk_synthetic=options.chunk_synthetic,
        chunk_real=options.chunk_real,
    )
    task = Task(SHAPE, 0, options.size, None, 160_000, 50_000, dtype=options.precision)
    method = krr_ssl(task, config)
    assets = {"teacher": teacher_asset(options.precision)[1]}
    noise = np.random.default_rng(SEED).integers(0, 256, (options.size, *SHAPE))
    noise = noise.astype(np.uint8)
    real = corpus.build(noise, None, whiten.fit("standard", noise), name="noise")
    state = method.init(jax.random.key(SEED), real, assets)
    x_s, y_s, x_b, y_b = (jnp.asarray(arrays[k]) for k in ("x_s", "y_s", "x_b", "y_b"))
    state = state._replace(params={"image": x_s, "target": y_s})
    bare = Batch(x_b, (), jnp.arange(options.batch), jnp.ones(options.batch))
    batches = {"in the loop": bare, "cached": bare._replace(target=y_b)}
    return {
        kind: Program(method, state, (batch, assets), options.steps)
        for kind, batch in batches.items()
    }


def teacher_asset(precision: str) -> tuple[Callable, TeacherAsset]:
    """How the default teacher is applied, and the teacher, untrained."""
    body, apply, _ = represent(KrrSslConfig().teacher, SHAPE, precision)
    return apply, TeacherAsset(jax.jit(body.init)(jax.random.key(SEED)))


def teacher_seconds(precision: str, image: np.ndarray) -> float:
    """The seconds the teacher takes for an image, the best of three."""
    apply, asset = teacher_asset(precision)
    forward = jax.jit(lambda variables, image: apply(variables, image))
    taken = []
    for _ in range(4):
        began = time.perf_counter()
        forward(asset.variables, image).block_until_ready()
        taken.append(time.perf_counter() - began)
    return min(taken[1:]) / len(image)


# Memory ----------------------------------------------------------------------------


def memory(batch: int) -> dict[str, Any]:
    """The temporary MiB of the compiled parts, at m = 100 and m = 1000."""
    rows: dict[str, Any] = {
        "benchmark": "krr_ssl temporary memory, MiB",
        "settings": {"batch": batch},
    }
    for conv in ("cpu", "stock"):
        spec = dataclasses.replace(KrrSslConfig().network, conv=conv)
        network = networks.build(spec, SHAPE, OUTPUTS)
        unit = 1000 * (network.feature_dim + 1) * 4 / 2**20
        rows["one array (m, d+1) at m = 1000"] = round(unit, 1)
        for chunks in ((10, 32), (100, 32), (None, None)):
            low, high = (
                objective_memory(network, m, batch, *chunks) for m in (100, 1000)
            )
            rows[f"outer gradient, chunks {chunks}, {conv} convolution"] = {
                "m=100": round(low, 1),
                "m=1000": round(high, 1),
                "growth in arrays": round((high - low) / unit, 2),
                "growth": f"{high / low - 1:.1%}",
            }
        rows[f"pool update (full batch), {conv} convolution"] = {
            f"m={m}": round(pool_memory(network, m), 1) for m in (100, 1000)
        }
    return rows


def temporary(function: Callable, *arguments: Any) -> float:
    """MiB of scratch memory of the compiled function."""
    analysis: Any = jax.jit(function).lower(*arguments).compile().memory_analysis()
    return analysis.temp_size_in_bytes / 2**20


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
    """Of the outer loss and its gradient."""
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
    return temporary(gradient, abstract(rows), abstract(batch), variables)


def pool_memory(network: Network, rows: int) -> float:
    """Of the update of one network of the pool, batch norm over the whole set."""
    optimiser = optimisers.build(KrrSslConfig().network_optimiser, 1000)
    pool = online(network, size=10, max_age=1000, optimiser=optimiser, loss="mse")
    key: Any = jax.random.key(SEED)
    nothing: Any = None  # neither needs a batch, nor a set to start from
    members = jax.eval_shape(lambda: pool.init(key, {}, nothing))

    def update(members: Any, image: Array, target: Array) -> Any:
        synthetic = Synthetic(image, target, jnp.ones(rows))
        return pool.update(key, members, jnp.int32(0), synthetic, nothing)

    return temporary(update, members, *abstract(rows))


if __name__ == "__main__":
    main()
