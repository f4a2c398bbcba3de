"""One `krr_ssl` step against the authors' program, measured in turns in one run.

The card's network for CIFAR-100 (128-256-512), m = 100, 256 real images a step, a pool
of 10, and a ResNet-18 as teacher; no augmentation and no ageing of the pool on either
side, the same arrays. Ours is the whole distillation step inside the compiled chunk
that runs it; theirs is their outer step (see reference/krr_st_torch.py), which has the
teacher in the loop. Rows for speed and for memory go to results/bench_krr_ssl.jsonl.

  git clone https://github.com/db-Lee/selfsup_dd DIR
  python experiments/bench_krr_ssl.py --checkout DIR --torch-python PYTHON_WITH_TORCH
"""

import argparse
import contextlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from bench_dm import Server

from jaxdd import networks, optimisers, whiten
from jaxdd.base import (
    Array,
    Assets,
    Batch,
    Network,
    State,
    Synthetic,
    Task,
    TeacherAsset,
    Variables,
)
from jaxdd.data import corpus
from jaxdd.kernels.ridge import KRR_ST
from jaxdd.losses import mean_squared_error
from jaxdd.methods.krr_ssl import KrrSslConfig, krr_ssl
from jaxdd.networks.teacher import represent
from jaxdd.objectives.regression import krr_mse
from jaxdd.pools import online
from jaxdd.run import environment
from jaxdd.run.chunk import compiled_chunk

HERE = Path(__file__).resolve().parent
ROWS, REAL, OUTPUTS, SHAPE, SEED = 100, 256, 512, (32, 32, 3), 0
# CIFAR-100 with crops of 4 pixels and flips: what a cache must hold.
CACHED_VIEWS = 50_000 * 162


def main() -> None:
    """Measures speed and memory and appends their rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkout", type=Path)
    parser.add_argument("--torch-python", default="python")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="steps a turn")
    parser.add_argument("--chunk-synthetic", type=int, default=0)
    parser.add_argument("--chunk-real", type=int, default=0)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--only", choices=["speed", "memory"])
    out = HERE / "results" / "bench_krr_ssl.jsonl"
    parser.add_argument("--out", type=Path, default=out)
    args = parser.parse_args()
    rows = [] if args.only == "memory" else speed(args)
    rows += [] if args.only == "speed" else [memory()]
    origin = {
        "seed": SEED,
        "hardware": environment.hardware(),
        "versions": environment.versions(),
        "commit": environment.commit(),
    }
    for row in rows:
        print(json.dumps(row, indent=1))
        with args.out.open("a") as file:
            file.write(json.dumps(row | origin) + "\n")


# Speed -----------------------------------------------------------------------------


def speed(args: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each of our two programs, measured in turns with the reference's."""
    arrays = random_arrays()
    ours, compile_seconds = our_programs(args, arrays)
    turns: dict[str, list[float]] = {name: [] for name in ours}
    with contextlib.ExitStack() as stack:
        theirs = {} if args.checkout is None else reference(args, arrays, stack)
        turns |= {f"reference, {name}": [] for name in theirs}
        everyone = list(
            (ours | {f"reference, {n}": p for n, p in theirs.items()}).items()
        )
        for _ in range(args.rounds + 1):
            for name, program in everyone:
                turns[name].append(program(args.steps))
        about = {name: server.about for name, server in theirs.items()}
    turns = {name: seconds[1:] for name, seconds in turns.items()}
    setting = {
        "size": ROWS,
        "batch": REAL,
        "pool": KrrSslConfig().pool,
        "steps_a_turn": args.steps,
        "chunk_synthetic": args.chunk_synthetic,
        "chunk_real": args.chunk_real,
        "precision": args.precision,
    }
    image_seconds = teacher_seconds(args.precision, arrays["x_b"])
    shared = {
        "turns": turns,
        "setting": setting,
        "reference": about,
        "teacher_seconds_an_image": image_seconds,
        "cache_hours_cifar100": image_seconds * CACHED_VIEWS / 3600,
    }
    return [
        {
            "benchmark": f"krr_ssl step, {name}",
            **compared(turns[name], turns),
            "compile_seconds": compile_seconds[name],
            **shared,
        }
        for name in ours
    ]


def compared(mine: list[float], turns: dict[str, list[float]]) -> dict[str, Any]:
    """Our seconds, and the reference's over ours, turn by turn.

    The reference has no cache, so `ratio` is against it with its teacher in the loop;
    `ratio_outputs_given` is against it with the teacher's outputs for nothing.
    """
    row: dict[str, Any] = {"seconds": statistics.median(mine), "fastest": min(mine)}
    names = {"ratio": "teacher in the loop", "ratio_outputs_given": "cached outputs"}
    for field, name in names.items():
        if theirs := turns.get(f"reference, {name}"):
            pairs = zip(mine, theirs, strict=True)
            row[field] = statistics.median(b / a for a, b in pairs)
            row[f"{field}_of_fastest"] = min(theirs) / min(mine)
    return row


def random_arrays() -> dict[str, np.ndarray]:
    """The arrays both programs get."""
    rng = np.random.default_rng(SEED)
    shapes = {"x_s": (ROWS, *SHAPE), "y_s": (ROWS, OUTPUTS)}
    shapes |= {"x_b": (REAL, *SHAPE), "y_b": (REAL, OUTPUTS)}
    return {k: rng.standard_normal(s, np.float32) for k, s in shapes.items()}


def reference(
    args: argparse.Namespace, arrays: dict[str, np.ndarray], stack: contextlib.ExitStack
) -> dict[str, Server]:
    """The authors' program, with its teacher and with the teacher's outputs given."""
    path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "arrays.npz"
    np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
    command = [args.torch_python, str(HERE / "reference" / "krr_st_torch.py")]
    command += ["--checkout", str(args.checkout), "timing", str(path), "--teacher"]
    kinds = {"teacher in the loop": "loop", "cached outputs": "cached"}
    return {
        name: stack.enter_context(Server([*command, kind]))
        for name, kind in kinds.items()
    }


def our_programs(
    args: argparse.Namespace, arrays: dict[str, np.ndarray]
) -> tuple[dict[str, Callable[[int], float]], dict[str, float]]:
    """Functions (steps -> seconds of one step), and the seconds compilation took."""
    config = KrrSslConfig(
        batch=REAL, chunk_synthetic=args.chunk_synthetic, chunk_real=args.chunk_real
    )
    task = Task(SHAPE, 0, ROWS, None, 160_000, 50_000, dtype=args.precision)
    method = krr_ssl(task, config)
    assets = {"teacher": teacher_asset(args.precision)[1]}
    noise = np.random.default_rng(SEED).integers(0, 256, (ROWS, *SHAPE), np.uint8)
    real = corpus.build(noise, None, whiten.fit("standard", noise), name="noise")
    state = method.init(jax.random.key(SEED), real, assets)
    x_s, y_s, x_b, y_b = (jnp.asarray(arrays[k]) for k in ("x_s", "y_s", "x_b", "y_b"))
    state = state._replace(params={"image": x_s, "target": y_s})
    in_loop = Batch(x_b, (), jnp.arange(REAL), jnp.ones(REAL))
    batches = {
        "teacher in the loop": in_loop,
        "cached outputs": in_loop._replace(target=y_b),
    }
    step = lambda state, data: method.step(state, *data)
    programs, compile_seconds = {}, {}
    for name, batch in batches.items():
        # Each program consumes its state, so each gets a copy.
        own = jax.tree.map(jnp.copy, state)
        began = time.perf_counter()
        compiled = compiled_chunk(step, args.steps, own, (batch, assets))
        compile_seconds[name] = time.perf_counter() - began
        programs[name] = timed(compiled, own, (batch, assets))
    return programs, compile_seconds


def timed(
    program: Callable, state: State, data: tuple[Batch, Assets]
) -> Callable[[int], float]:
    """A function (steps -> seconds of one step) that goes on from where it was."""
    current = [state]

    def run(steps: int) -> float:
        began = time.perf_counter()
        current[0] = jax.block_until_ready(
            program(current[0], data, np.int32(steps))[0]
        )
        return (time.perf_counter() - began) / steps

    return run


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


def memory() -> dict[str, Any]:
    """The temporary MiB of the compiled parts, at m = 100 and m = 1000."""
    network = networks.build(KrrSslConfig().network, SHAPE, OUTPUTS)
    unit = 1000 * (network.feature_dim + 1) * 4 / 2**20
    rows: dict[str, Any] = {
        "benchmark": "krr_ssl temporary memory, MiB",
        "one array (m, d+1) at m = 1000": round(unit, 1),
    }
    for chunks in ((10, 32), (100, 32), (100, 100), (None, None)):
        low, high = (objective_memory(network, m, *chunks) for m in (100, 1000))
        rows[f"outer gradient, chunks {chunks[0]}/{chunks[1]}"] = {
            "m=100": round(low, 1),
            "m=1000": round(high, 1),
            "growth in arrays": round((high - low) / unit, 2),
            "growth": f"{high / low - 1:.1%}",
        }
    pools = [round(pool_memory(network, m), 1) for m in (100, 1000)]
    rows["pool update (full batch)"] = dict(
        zip(("m=100", "m=1000"), pools, strict=True)
    )
    return rows


def abstract(*shape: int) -> jax.ShapeDtypeStruct:
    """A float32 argument without values."""
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def temporary(function: Callable, *arguments: Any) -> float:
    """MiB of scratch memory of the compiled function."""
    analysis = jax.jit(function).lower(*arguments).compile().memory_analysis()
    return analysis.temp_size_in_bytes / 2**20


def objective_memory(
    network: Network, rows: int, chunk_synthetic: int | None, chunk_real: int | None
) -> float:
    """Of the outer loss and its gradient, for 256 real images."""
    objective = krr_mse(
        network, KRR_ST, chunk_synthetic=chunk_synthetic, chunk_real=chunk_real
    )

    def gradient(pair: tuple, real: tuple, variables: Variables) -> tuple:
        batch = Batch(*real, jnp.arange(REAL), jnp.ones(REAL))
        loss = lambda pair: objective(
            Synthetic(*pair, jnp.ones(rows)), batch, variables, {}, jax.random.key(0)
        )
        return jax.value_and_grad(loss, has_aux=True)(pair)

    variables = jax.eval_shape(network.init, jax.random.key(0))
    pair, real = ((abstract(n, *SHAPE), abstract(n, OUTPUTS)) for n in (rows, REAL))
    return temporary(gradient, pair, real, variables)


def pool_memory(network: Network, rows: int) -> float:
    """Of the update of one network of the pool, batch norm over the whole set."""
    optimiser = optimisers.build(KrrSslConfig().inner, 1000)
    pool = online(
        network, size=10, max_age=1000, optimiser=optimiser, loss=mean_squared_error
    )
    key = jax.random.key(SEED)
    members = jax.eval_shape(lambda: pool.init(key, {}, None))

    def update(members: Any, image: Array, target: Array) -> Any:
        synthetic = Synthetic(image, target, jnp.ones(rows))
        return pool.update(key, members, jnp.int32(0), synthetic, None)

    return temporary(update, members, abstract(rows, *SHAPE), abstract(rows, OUTPUTS))


if __name__ == "__main__":
    main()
