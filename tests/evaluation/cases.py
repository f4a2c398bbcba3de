"""Small sets, a small teacher and a drive that remembers, for the evaluation tests."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import whiten
from jaxdd.base import Corpus, Dataset, Distilled, Synthetic, Variables
from jaxdd.networks.teacher import represent
from jaxdd.records import (
    Meta,
    Mlp,
    Protocol,
    Recipe,
    Sgd,
    Teacher,
)
from jaxdd.select import subset
from jaxdd.training import scan_drive
from tests.helpers import toy_corpus

MLP = Mlp(width=(16,))
TEACHER = Teacher(network=Mlp(width=(12,)), represent="output", outputs=6)
SGD = Sgd(0.1, 0.9, 1e-3)


class Recorder:
    """Runs the steps like `scan_drive` and keeps what it was given, by stage."""

    def __init__(self) -> None:
        self.calls: dict[str, dict[str, Any]] = {}

    def __call__(self, step, state, num_steps, data, *, stage):
        after, metrics = scan_drive(step, state, num_steps, data, stage=stage)
        assert stage not in self.calls
        self.calls[stage] = {
            "step": step,
            "start": state,
            "end": after,
            "data": data,
            "num_steps": num_steps,
        }
        return after, metrics


def programs(calls: dict[str, dict[str, Any]]) -> set[tuple]:
    """What would be compiled for the recorded calls: step function and arguments."""

    def kind(leaf: jax.Array) -> tuple:
        return str(jax.typeof(leaf)), str(leaf.sharding)

    return {
        (call["step"], *map(kind, jax.tree.leaves((call["start"], call["data"]))))
        for call in calls.values()
    }


class Interrupted(RuntimeError):
    """What `Brittle` raises."""


class Brittle(dict):
    """A store that fails when it is written the given number of times."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.left = writes

    def __setitem__(self, name: str, piece: dict) -> None:
        if not self.left:
            raise Interrupted(name)
        self.left -= 1
        super().__setitem__(name, piece)


def standard_dataset() -> Dataset:
    """Toy splits under per-channel standardisation."""
    train, test = toy_corpus(), toy_corpus(seed=1, per_class=6)
    whitening = whiten.fit("standard", np.asarray(train.image))
    splits = [
        dataclasses.replace(c, whitening=whitening, hash=h)
        for c, h in ((train, "train"), (test, "test"))
    ]
    return Dataset(*splits)


def unlabelled(corpus: Corpus) -> Corpus:
    zero = jnp.zeros_like(corpus.label)
    rows = jnp.arange(corpus.size, dtype=jnp.int32)[None]
    count = jnp.asarray([corpus.size], jnp.int32)
    return dataclasses.replace(
        corpus,
        label=zero,
        class_index=rows,
        class_count=count,
        num_classes=0,
        class_names=(),
    )


def protocol(**changes: Any) -> Protocol:
    default = Protocol(
        "toy",
        MLP,
        train=Recipe(steps=30, optimiser=SGD),
        probe=Recipe(steps=40, batch=16, optimiser=Sgd(0.2)),
        fine_tune=Recipe(steps=40, batch=16, optimiser=Sgd(0.05)),
    )
    return dataclasses.replace(default, **changes)


def describe(data: Dataset, method: str, kind: Any, **changes: Any) -> Meta:
    corpus = data.train
    return Meta(
        method=method,
        dataset=corpus.name,
        dataset_hash=corpus.hash,
        image_shape=corpus.image_shape,
        num_classes=corpus.num_classes,
        class_names=corpus.class_names,
        label_kind=kind,
        protocol=changes.pop("protocol", protocol()),
        **changes,
    )


def labelled_set(
    data: Dataset, *, ipc: int = 2, shift: int = 0, method: str = "dm", **changes: Any
) -> Distilled:
    """`ipc` real images of each class, class-major."""
    rows = data.train.class_index[:, shift : shift + ipc].reshape(-1)
    meta = describe(data, method, "hard", **changes)
    return Distilled(subset(data.train, rows), meta, data.train.whitening, {})


def teacher_variables() -> Variables:
    body, _, _ = represent(TEACHER, (8, 8, 1))
    return jax.jit(body.init)(jax.random.key(7))


def teacher_outputs(corpus: Corpus) -> jax.Array:
    _, apply, _ = represent(TEACHER, (8, 8, 1))
    white = whiten.apply(corpus.whitening, whiten.to_unit(corpus.image))
    return jax.jit(apply)(teacher_variables(), white)


def representation_set(
    data: Dataset, *, size: int = 10, method: str = "krr_ssl", **changes: Any
) -> Distilled:
    """The first real images with the teacher's outputs."""
    rows = jnp.arange(size)
    real = subset(data.train, rows)
    target = teacher_outputs(data.train)[rows]
    meta = describe(data, method, "representation", teacher=TEACHER, **changes)
    return Distilled(
        Synthetic(real.image, target, real.weight),
        meta,
        data.train.whitening,
        {"teacher": teacher_variables()},
    )
