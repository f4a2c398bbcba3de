"""What images teach in place of their classes: fixed rows, or targets learned too."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import (
    Array,
    Assets,
    Corpus,
    Decoder,
    Key,
    PyTree,
    Synthetic,
    Task,
    Variables,
)
from jaxdd.decoders.initial import Logits, soft_labels
from jaxdd.records import Views
from jaxdd.training.losses import centred_one_hot

__all__ = [
    "Targets",
    "centred",
    "classes_of",
    "expert_logits",
    "learned_probabilities",
    "teacher_outputs",
]


class Targets(NamedTuple):
    """The targets of a decoder of pixels."""

    start: Callable[[Assets, Array, Array | None], Array]
    """(assets, first images whitened [m,h,w,c], their rows in the corpus [m] or None)
    -> targets [m,d]."""
    learned: bool = True
    """They are parameters; otherwise `start` makes them of the images at each step."""
    by_class: bool = True
    """The set has as many images of each class, class-major."""


def classes_of(task: Task) -> np.ndarray:
    """The classes int32 [m] of a set with `task.ipc` images of each, class-major."""
    return np.repeat(np.arange(task.num_classes, dtype=np.int32), task.ipc or 0)


def teacher_outputs(
    represent: Callable[[Variables, Array], Array], views: Views = Views()
) -> Targets:
    """Learned vectors [m,d] that start at the teacher's outputs on the first images.

    Args:
      represent: applies the teacher `assets["teacher"]` to images without augmentation.
      views: the views that the teacher's table enumerates; its outputs are looked up
        there where it has one.
    """

    def start(assets: Assets, white: Array, rows: Array | None) -> Array:
        teacher = assets["teacher"]
        dtype = jnp.promote_types(white.dtype, jnp.float32)
        if teacher.table is None:
            return jax.jit(represent)(teacher.variables, white).astype(dtype)
        return teacher.table[views.identity, rows].astype(dtype)

    return Targets(start, by_class=False)


def expert_logits(
    task: Task, judge: Logits, kind: Literal["average", "first"]
) -> Targets:
    """Learned logits [m,k] that start at those of experts on the first images.

    Args:
      task: gives the classes of the images.
      judge: applies one of `assets["experts"]`.
      kind: of all that are right, or of the first, see `initial.soft_labels`.
    """

    def start(assets: Assets, white: Array, rows: Array | None) -> Array:
        del rows
        classes = jnp.asarray(classes_of(task))
        return soft_labels(judge, assets["experts"], white, classes, kind)

    return Targets(start)


def centred(task: Task, *, scale: float = 1.0, learned: bool = True) -> Targets:
    """Rows `scale` (e_y - 1/k) [m,k], where learned labels start or fixed ones stay."""

    def start(assets: Assets, white: Array, rows: Array | None) -> Array:
        del assets, rows
        classes = jnp.asarray(classes_of(task))
        return scale * centred_one_hot(classes, task.num_classes, white.dtype)

    return Targets(start, learned)


def learned_probabilities(decoder: Decoder, num_classes: int) -> Decoder:
    """A decoder whose class labels become learned weights of the classes.

    They start one-hot, are kept at or above zero, and are not normalised: the
    cross-entropy against them is -sum_c y_c log p_c (Feng et al., ICLR 2024, arXiv
    2311.07025).

    Args:
      decoder: with int targets [m]; its parameters are a dict.
      num_classes: k.

    Returns:
      The decoder, with the parameter `"target": [m,k]`.
    """

    def init(key: Key, corpus: Corpus, assets: Assets) -> PyTree:
        params = decoder.init(key, corpus, assets)
        plain = decoder.decode(params, assets, key)
        target = jax.nn.one_hot(plain.target, num_classes, dtype=plain.image.dtype)
        return {**params, "target": target}

    def decode(
        params: PyTree, assets: Assets, key: Key, rows: Array | None = None
    ) -> Synthetic:
        target = params["target"] if rows is None else params["target"][rows]
        return decoder.decode(_rest(params), assets, key, rows)._replace(target=target)

    def project(params: PyTree) -> PyTree:
        target = jnp.maximum(params["target"], 0.0)
        return {**decoder.project(_rest(params)), "target": target}

    def floats(params: PyTree) -> int:
        return decoder.floats(_rest(params)) + params["target"].size

    return Decoder(init, decode, project, floats)


def _rest(params: PyTree) -> PyTree:
    return {name: part for name, part in params.items() if name != "target"}
