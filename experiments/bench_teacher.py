"""Seconds of a teacher's training step against PyTorch, in turns in one run.

The teacher is a ResNet-18 for 32x32 images (3x3 stem of padding 2: maps of 34, 17, 9
and 5 pixels) under Barlow Twins with a projector of three times 2048, two views a step,
SGD with momentum. Ours is the step inside the compiled chunk that runs it, without and
with the augmentation of the CIFAR recipe; theirs is the same network, loss and
optimiser on given views (see reference/networks/teacher_torch.py). A second row gives
every kind of layer, forwards and backwards. Appends both to
experiments/results/bench_teacher.jsonl.

  python experiments/bench_teacher.py --torch-python PYTHON
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from benchmark import Reference, append, origin, summary

from jaxdd import whiten
from jaxdd.base import Array, Corpus
from jaxdd.data import corpus
from jaxdd.loop.chunk import compiled_chunk
from jaxdd.networks.conv import choose, convolve
from jaxdd.networks.norm import BatchNorm
from jaxdd.networks.teacher import training_network
from jaxdd.prepare.ssl import two_views
from jaxdd.prepare.ssl_losses import objective
from jaxdd.presets import teachers as _teachers
from jaxdd.records import AugmentSpec, OptimiserSpec, Recipe, Teacher
from jaxdd.training import trainer

REFERENCE = (
    Path(__file__).resolve().parent / "reference" / "networks" / "teacher_torch.py"
)
SHAPE, IMAGES, SEED = (32, 32, 3), 2048, 0
SIDES, WIDTHS = (34, 17, 9, 5), (64, 128, 256, 512)
REPEATS = 4  # of a layer in one loop, where memory is reused as in a training run


def main() -> None:
    """Measures the step and its layers and appends their rows."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--torch-python", type=Path, help="a Python with PyTorch")
    parser.add_argument("--torch-threads", type=int, default=0)
    parser.add_argument("--channels-last", action="store_true", help="PyTorch's order")
    parser.add_argument("--batch", type=int, default=64, help="images, each seen twice")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["step", "layers"])
    options = parser.parse_args()
    for name, measure in (("step", step_row), ("layers", layer_row)):
        if options.only in (None, name):
            append("bench_teacher", measure(options) | {"origin": origin()})


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """What a row must say to be repeated."""
    chosen = {"batch": options.batch, "rounds": options.rounds, "seed": SEED}
    return chosen | {"convolution": choose("auto")}


def reference(options: argparse.Namespace, what: str) -> list[str]:
    """The command of PyTorch's side."""
    command = [str(options.torch_python), str(REFERENCE), what]
    command += ["--batch", str(options.batch)]
    command += ["--threads", str(options.torch_threads)]
    return command + ["--channels-last"] * options.channels_last


def in_turns(
    programs: dict[str, Callable[[], list[float]]], rounds: int
) -> dict[str, dict[str, Any]]:
    """Seconds of each program, called one after the other; the first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for turn in range(rounds + 1):
        for name, program in programs.items():
            taken = program()
            seconds[name] += taken if turn else []
    return {name: summary(taken) for name, taken in seconds.items()}


# The whole step --------------------------------------------------------------------


def step_row(options: argparse.Namespace) -> dict[str, Any]:
    """The training step without and with augmentation, and PyTorch's."""
    real = noise_corpus()
    plain = Program(teacher(options.batch, AugmentSpec()), real)
    augmented = Program(teacher(options.batch, _teachers.CIFAR.recipe.augment), real)
    programs = {"ours": plain.run, "ours with augmentation": augmented.run}
    theirs = None
    if options.torch_python is not None:
        theirs = Reference(reference(options, "step"))
        programs["theirs"] = lambda: theirs.run(1)
    row: dict[str, Any] = {
        "benchmark": f"teacher step, ResNet-18, batch {options.batch}",
        "settings": settings(options),
        "compile seconds": plain.compile_seconds,
        "temporary MiB": plain.temporary,
    }
    row |= in_turns(programs, options.rounds)
    if theirs is not None:
        theirs.close()
        row["reference"] = theirs.about
        for kind in ("best", "median"):
            row[f"speed, {kind}"] = round(row["theirs"][kind] / row["ours"][kind], 3)
    return row


def noise_corpus() -> Corpus:
    """Random images."""
    rng = np.random.default_rng(SEED)
    image = rng.integers(0, 256, (IMAGES, *SHAPE), dtype=np.uint8)
    return corpus.build(image, None, whiten.fit("standard", image), name="noise")


def teacher(batch: int, views: AugmentSpec) -> Teacher:
    """The CIFAR teacher under plain SGD, which both programs have."""
    step = OptimiserSpec("sgd", 0.01, momentum=0.9, weight_decay=1e-4)
    recipe = Recipe(steps=1000, batch=batch, optimiser=step, augment=views)
    return dataclasses.replace(_teachers.CIFAR, recipe=recipe)


class Program:
    """Our training step in the chunk that the runner compiles."""

    def __init__(self, settings: Teacher, real: Corpus) -> None:
        loss, average = objective(settings)
        network = training_network(settings, SHAPE)
        source = two_views(settings.recipe, SHAPE)
        run = trainer(source, network, settings.recipe, loss=loss, average=average)
        self._state, self._real = jax.jit(run.init)(jax.random.key(SEED)), real
        began = time.perf_counter()
        self._chunk: Any = compiled_chunk(run.step, 1, self._state, real)
        self.compile_seconds = round(time.perf_counter() - began, 2)
        analysis = self._chunk.memory_analysis()
        self.temporary = round(analysis.temp_size_in_bytes / 2**20, 1)

    def run(self) -> list[float]:
        """The seconds of the next step."""
        began = time.perf_counter()
        result = self._chunk(self._state, self._real, np.int32(1))
        self._state = jax.block_until_ready(result[0])
        return [time.perf_counter() - began]


# Layers ----------------------------------------------------------------------------


def layer_row(options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of every kind of layer, forwards and backwards, and how many."""
    layers = list(network_layers())
    theirs = None
    if options.torch_python is not None:
        theirs = Reference(
            reference(options, "layers"), first=json.dumps([spec for _, spec in layers])
        )
    table = {
        name: layer_times(number, spec, theirs, options)
        for number, (name, spec) in enumerate(layers)
    }
    row = {
        "benchmark": f"teacher layers, ResNet-18, batch {options.batch}",
        "settings": settings(options) | {"unit": "ms, best"},
        "layers": table,
    }
    if theirs is not None:
        theirs.close()
        row["reference"] = theirs.about
    return row


def network_layers() -> list[tuple[str, dict[str, int]]]:
    """Name and shape of every kind of layer; size 0 is batch norm with ReLU."""
    layers = [layer("stem", 32, 3, 64, 3, padding=2, count=1)]
    for stage, (side, width) in enumerate(zip(SIDES, WIDTHS, strict=True)):
        if stage:
            before = SIDES[stage - 1], width // 2, width
            layers.append(layer("3x3 stride 2", *before, 3, stride=2, padding=1))
            layers.append(layer("1x1 stride 2", *before, 1, stride=2))
        count = 3 if stage else 4
        layers.append(layer("3x3", side, width, width, 3, padding=1, count=count))
        layers.append(layer("batch norm", side, width, width, 0, count=5))
    return layers


def layer(
    kind: str,
    side: int,
    channels: int,
    outputs: int,
    size: int,
    *,
    stride: int = 1,
    padding: int = 0,
    count: int = 1,
) -> tuple[str, dict[str, int]]:
    """The name and the shape of one kind of layer."""
    spec = {"side": side, "channels": channels, "outputs": outputs, "size": size}
    spec |= {"stride": stride, "padding": padding, "count": count}
    return f"{kind}, {channels} to {outputs}, {side} px", spec


def layer_times(
    number: int,
    spec: dict[str, int],
    theirs: Reference | None,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """The entry of one kind of layer."""
    programs = {"ours": our_layer(spec, options.batch)}
    if theirs is not None:
        programs["theirs"] = lambda: theirs.run(number)
    measured = in_turns(programs, options.rounds)
    entry: dict[str, Any] = {"count": spec["count"]}
    entry |= {name: round(1000 * times["best"], 2) for name, times in measured.items()}
    if theirs is not None:
        entry["speed"] = round(entry["theirs"] / entry["ours"], 2)
    return entry


def our_layer(spec: dict[str, int], batch: int) -> Callable[[], list[float]]:
    """One layer forwards and backwards, some times in a loop."""
    rng = np.random.default_rng(SEED)
    channels, outputs, size = spec["channels"], spec["outputs"], spec["size"]
    shape = (batch, spec["side"], spec["side"], channels)
    image = jnp.asarray(rng.standard_normal(shape, np.float32))
    if size:
        draw = rng.standard_normal((size, size, channels, outputs), np.float32)
        weights: Any = jnp.asarray(draw / size)
        apply = lambda x, w: convolve(x, w, spec["stride"], spec["padding"])
    else:
        norm = BatchNorm()
        weights = jax.jit(norm.init)(jax.random.key(SEED), image)
        apply = lambda x, w: jax.nn.relu(
            norm.apply(w, x, train=True, mutable=["batch_stats"])[0]
        )
    return timed_loop(apply, image, weights, by_image=channels > 3)


def timed_loop(
    apply: Callable[[Array, Any], Array], image: Array, weights: Any, *, by_image: bool
) -> Callable[[], list[float]]:
    """Seconds of the layer and its derivatives, in a loop like a training run's."""

    def once(image: Array, weights: Any, gradient: Array) -> tuple[Array, Any]:
        if by_image:
            out, pull = jax.vjp(apply, image, weights)
        else:
            out, pull = jax.vjp(lambda w: apply(image, w), weights)
        return out, pull(gradient)

    def again(_: Array, carry: tuple[tuple, Any]) -> tuple[tuple, Any]:
        given, made = carry
        # A dependence, or the compiler would take the work out of the loop.
        small = 1e-9 * sum(leaf.ravel()[0] for leaf in jax.tree.leaves(made))
        given = jax.tree.map(lambda leaf: leaf.at[(0,) * leaf.ndim].add(small), given)
        return given, once(*given)

    def loop(given: tuple, count: Array) -> Any:
        shapes = jax.eval_shape(once, *given)
        start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.fori_loop(0, count, again, (given, start))[1]

    gradient = jnp.ones(jax.eval_shape(apply, image, weights).shape)
    given = image, weights, gradient
    compiled: Any = jax.jit(loop).lower(given, np.int32(0)).compile()

    def run() -> list[float]:
        began = time.perf_counter()
        jax.block_until_ready(compiled(given, np.int32(REPEATS)))
        return [(time.perf_counter() - began) / REPEATS]

    return run


if __name__ == "__main__":
    main()
