"""Seconds of a teacher's training step against PyTorch, in turns in one run.

The teacher is a ResNet-18 for 32x32 images (3x3 stem of padding 2: maps of 34, 17, 9
and 5 pixels) under Barlow Twins with a projector of three times 2048, two views a step,
SGD with momentum. Ours is the step inside the compiled chunk that runs it, without and
with the augmentation of the CIFAR recipe; theirs is the same network, loss and
optimiser on given views (see reference/networks/teacher_torch.py). A second row gives
every kind of layer, forwards and backwards.

  python experiments/bench.py teacher --torch-python PYTHON
"""

import argparse
import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

import benchmark
import jax
import jax.numpy as jnp
import numpy as np
import references
from benchmark import SEED, SHAPE

from jaxdd.base import Array
from jaxdd.networks.conv import choose, convolve
from jaxdd.networks.norm import BatchNorm
from jaxdd.networks.teacher import training_network
from jaxdd.prepare.ssl import two_views
from jaxdd.prepare.ssl_losses import objective
from jaxdd.presets import teachers
from jaxdd.records import (
    AugmentSpec,
    Recipe,
    Sgd,
)
from jaxdd.training import trainer

PROGRAM, IMAGES = "networks/teacher_torch.py", 2048
SIDES, WIDTHS = (34, 17, 9, 5), (64, 128, 256, 512)
REPEATS = 4  # of a layer in one loop, where memory is reused as in a training run


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    references.add_options(parser, None, threads=True)
    parser.add_argument("--channels-last", action="store_true", help="PyTorch's order")
    parser.add_argument("--batch", type=int, default=64, help="images, each seen twice")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["step", "layers"])


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One of the step and one of its layers."""
    for name, row in (("step", step_row), ("layers", layer_row)):
        if options.only in (None, name):
            yield row(options)


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """What a row must say to be repeated."""
    chosen = {"batch": options.batch, "rounds": options.rounds, "seed": SEED}
    return chosen | {"convolution": choose("auto")}


def command(options: argparse.Namespace, what: str) -> list[Any]:
    """The program of PyTorch's side, and what it is told."""
    order = ["--channels-last"] * options.channels_last
    return [PROGRAM, what, "--batch", options.batch, *order]


# The whole step --------------------------------------------------------------------


def step_row(options: argparse.Namespace) -> dict[str, Any]:
    """The training step without and with augmentation, and PyTorch's."""
    plain = training(options.batch, AugmentSpec())
    augmented = training(options.batch, teachers.CIFAR.recipe.augment)
    programs = {"ours": plain, "ours with augmentation": augmented}
    with references.running(options, *command(options, "step")) as theirs:
        return {
            "benchmark": f"teacher step, ResNet-18, batch {options.batch}",
            "settings": settings(options),
            "about": plain.about,
            "reference": theirs.about,
        } | benchmark.against(programs | theirs.turns(), options)


def training(batch: int, views: AugmentSpec) -> benchmark.Program:
    """The CIFAR teacher's step under plain SGD, which both programs have."""
    optimiser = Sgd(0.01, momentum=0.9, weight_decay=1e-4)
    recipe = Recipe(steps=1000, batch=batch, optimiser=optimiser, augment=views)
    teacher = dataclasses.replace(teachers.CIFAR, recipe=recipe)
    loss, average = objective(teacher)
    network = training_network(teacher, SHAPE)
    source = two_views(recipe, SHAPE)
    run = trainer(source, network, recipe, loss=loss, average=average)
    state = jax.jit(run.init)(jax.random.key(SEED))
    return benchmark.Program(run.step, state, benchmark.noise(IMAGES, classes=0))


# Layers ----------------------------------------------------------------------------


def layer_row(options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of every kind of layer, forwards and backwards, and how many."""
    layers = network_layers()
    told = json.dumps(list(layers.values()))
    entries: dict[str, Any] = {}
    words = command(options, "layers")
    with references.running(options, *words, first=told) as theirs:
        for number, (name, spec) in enumerate(layers.items()):
            programs = {"ours": our_layer(spec, options.batch)} | theirs.turns(number)
            found = benchmark.against(programs, options)
            best = {who: round(1000 * found[who]["best"], 2) for who in programs}
            entries[name] = {"count": spec["count"]} | best
            if "speed, best" in found:
                entries[name]["speed"] = round(found["speed, best"], 2)
    return {
        "benchmark": f"teacher layers, ResNet-18, batch {options.batch}",
        "settings": settings(options) | {"unit": "ms, best"},
        "layers": entries,
        "reference": theirs.about,
    }


def network_layers() -> dict[str, dict[str, int]]:
    """The shape of every kind of layer by name; size 0 is batch norm with ReLU."""
    layers = layer("stem", 32, 3, 64, 3, padding=2)
    for stage, (side, width) in enumerate(zip(SIDES, WIDTHS, strict=True)):
        if stage:
            before = SIDES[stage - 1], width // 2, width
            layers |= layer("3x3 stride 2", *before, 3, stride=2, padding=1)
            layers |= layer("1x1 stride 2", *before, 1, stride=2)
        count = 3 if stage else 4
        layers |= layer("3x3", side, width, width, 3, padding=1, count=count)
        layers |= layer("batch norm", side, width, width, 0, count=5)
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
) -> dict[str, dict[str, int]]:
    """The shape of one kind of layer, by its name."""
    spec = {"side": side, "channels": channels, "outputs": outputs, "size": size}
    spec |= {"stride": stride, "padding": padding, "count": count}
    return {f"{kind}, {channels} to {outputs}, {side} px": spec}


def our_layer(spec: dict[str, int], batch: int) -> benchmark.Turn:
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
    return in_a_loop(apply, image, weights, by_image=channels > 3)


def in_a_loop(
    apply: Callable[[Array, Any], Array], image: Array, weights: Any, *, by_image: bool
) -> benchmark.Turn:
    """The layer and its derivatives, in a loop like a training run's."""

    def once(image: Array, weights: Any, gradient: Array) -> tuple[Array, Any]:
        if by_image:
            out, pull = jax.vjp(apply, image, weights)
        else:
            out, pull = jax.vjp(lambda w: apply(image, w), weights)
        return out, pull(gradient)

    def again(_: Array, carry: tuple[tuple, Any]) -> tuple[tuple, Any]:
        arguments, results = carry
        # A dependence, or the compiler would take the work out of the loop.
        small = 1e-9 * sum(leaf.ravel()[0] for leaf in jax.tree.leaves(results))
        arguments = jax.tree.map(
            lambda leaf: leaf.at[(0,) * leaf.ndim].add(small), arguments
        )
        return arguments, once(*arguments)

    def loop(arguments: tuple, count: Array) -> Any:
        shapes = jax.eval_shape(once, *arguments)
        start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.fori_loop(0, count, again, (arguments, start))[1]

    gradient = jnp.ones(jax.eval_shape(apply, image, weights).shape)
    compiled = benchmark.Compiled(loop, (image, weights, gradient), np.int32(REPEATS))
    return benchmark.one_by_one([compiled], REPEATS)
