"""Seconds of a `kip` step against neural-tangents, measured in turns in one process.

FC1 NTK, ten classes of 32x32x3 images, 10 synthetic images of each, 10,000 real ones,
float32. Ours is the method's step on a given batch; theirs that of kip/KIP.ipynb, with
neural-tangents' kernel, Adam and JAX's solve; a third program times ours with sampling
and whitening. The FLOPs are those of the two products with the real images, forward and
backward, and the limit is what one product of that shape takes here; the bytes are what
must pass memory. Appends a row to experiments/results/bench_kip.jsonl.

  python experiments/bench_kip.py
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from benchmark import append, origin, summary

from jaxdd import kernels, whiten
from jaxdd.base import Batch, Corpus, Metrics, State, Task
from jaxdd.data import corpus
from jaxdd.data.feeds import sample
from jaxdd.methods.kernel.kip import KipConfig, kip
from jaxdd.records import KernelSpec
from jaxdd.training.losses import centred_one_hot

CLASSES, SHAPE, SEED = 10, (32, 32, 3), 0


def main() -> None:
    """Measures and appends the row."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ipc", type=int, default=10)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    append("bench_kip", measure(parser.parse_args()))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All programs in turns, after one turn to warm up."""
    rng = np.random.default_rng(SEED)
    image = rng.integers(0, 256, (options.batch, *SHAPE), dtype=np.uint8)
    label = np.arange(options.batch, dtype=np.int32) % CLASSES
    real = corpus.build(image, label, whiten.fit("standard", image), name="noise")
    spec = KernelSpec("ntk", "fc", depth=options.depth)
    method = kip(
        Task(SHAPE, CLASSES, options.ipc * CLASSES, options.ipc, 10**6, real.size),
        KipConfig(kernel=spec, batch=options.batch),
    )
    state = method.init(jax.random.key(SEED), real, {})
    batch = jax.jit(lambda s: sample(method.feed, real, {}, s.key, s.step))(state)
    programs = {
        "ours": _program(lambda s, b: method.step(s, b, {}), state, batch),
        "neural-tangents": _reference(spec, state, batch),
        "ours with sampling": _program(_whole(method), state, real),
        "product": _product(state, batch),
    }
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(options.rounds + 1):
        for name, run in programs.items():
            taken = run()
            seconds[name] += [taken] if turn else []
    row: dict[str, Any] = {
        "benchmark": f"kip step, FC{options.depth} NTK",
        "settings": {"ipc": options.ipc, "batch": options.batch, "classes": CLASSES},
    }
    row |= {name: summary(taken) for name, taken in seconds.items()}
    for kind in ("best", "median"):
        own = row["ours"][kind]
        row[f"time over neural-tangents, {kind}"] = round(
            own / row["neural-tangents"][kind], 3
        )
        row[f"share of the products' limit, {kind}"] = round(
            2 * row["product"][kind] / own, 3
        )
    return row | _work(options) | {"origin": origin()}


def _work(options: argparse.Namespace) -> dict[str, float]:
    """What a step must compute and move."""
    pairs = options.ipc * CLASSES * options.batch
    size = int(np.prod(SHAPE))
    return {
        "GFLOP of the products": round(2 * 2 * pairs * size / 1e9, 2),
        "MB read at least": round(4 * (2 * options.batch * size + 2 * pairs) / 1e6, 1),
    }


def _program(step: Callable, state: Any, data: Any) -> Callable[[], float]:
    """Seconds of the next step, once compiled."""
    compiled = jax.jit(step).lower(state, data).compile()
    held = [state]

    def run() -> float:
        began = time.perf_counter()
        held[0], _ = jax.block_until_ready(compiled(held[0], data))
        return time.perf_counter() - began

    return run


def _whole(method: Any) -> Callable[[State, Corpus], tuple[State, Metrics]]:
    def step(state: State, real: Corpus) -> tuple[State, Metrics]:
        batch = sample(method.feed, real, {}, state.key, state.step)
        return method.step(state, batch, {})

    return step


def _reference(spec: KernelSpec, state: State, batch: Batch) -> Callable[[], float]:
    """The notebook's update with neural-tangents' kernel."""
    kernel_fn = kernels.stax().serial(*_layers(spec))[2]
    target = jnp.repeat(jnp.eye(CLASSES), state.params["image"].shape[0] // CLASSES, 0)
    target = target - 1 / CLASSES
    adam = optax.adam(4e-2)

    def loss(image: Any, real: Any, label: Any) -> Any:
        k_ss = kernel_fn(image, image, "ntk")
        k_ts = kernel_fn(real, image, "ntk")
        size = k_ss.shape[0]
        regular = k_ss + 1e-6 * jnp.trace(k_ss) / size * jnp.eye(size)
        alpha = jax.scipy.linalg.solve(regular, target, assume_a="pos")
        return 0.5 * jnp.mean((k_ts @ alpha - label) ** 2)

    def step(carry: Any, data: Any) -> Any:
        image, opt = carry
        value, slope = jax.value_and_grad(loss)(image, *data)
        updates, opt = adam.update(slope, opt)
        return (optax.apply_updates(image, updates), opt), value

    image = state.params["image"]
    real = batch.image.reshape(-1, *SHAPE)
    label = centred_one_hot(batch.target.reshape(-1), CLASSES)
    return _program(step, (image, adam.init(image)), (real, label))


def _layers(spec: KernelSpec) -> list[Any]:
    stax = kernels.stax()

    def dense() -> Any:
        return stax.Dense(
            1, W_std=spec.weight_std, b_std=spec.bias_std, parameterization="ntk"
        )

    hidden = [layer for _ in range(spec.depth) for layer in (dense(), stax.Relu())]
    return [stax.Flatten(), *hidden, dense()]


def _product(state: State, batch: Batch) -> Callable[[], float]:
    """One of the two products with the real images, as this machine does it."""
    left = batch.image.reshape(-1, int(np.prod(SHAPE)))
    right = state.params["image"].reshape(len(state.params["image"]), -1)
    return _program(lambda few, many: (few, many @ few.T), right, left)


if __name__ == "__main__":
    main()
