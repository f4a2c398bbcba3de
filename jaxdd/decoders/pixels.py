"""The plainest parameterisation: every pixel is a free parameter."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from jaxdd import tree, whiten
from jaxdd.base import (
    Array,
    Assets,
    Corpus,
    Decoder,
    InputError,
    Key,
    PyTree,
    Synthetic,
    Task,
    TeacherAsset,
    Variables,
)
from jaxdd.records import Views
from jaxdd.select import random_rows

__all__ = ["pixels"]

Represent = Callable[[Variables, Array], Array]


def pixels(
    task: Task,
    *,
    init: Literal["real", "noise"] = "real",
    space: Literal["whitened", "raw"] = "whitened",
    represent: Represent | None = None,
    views: Views = Views(),
) -> Decoder:
    """Images [m,h,w,c] as parameters, with fixed labels or learned target vectors.

    Args:
      task: gives m, the number of classes and the image shape.
      init: `real` copies distinct random training images (of its class, where labels
        are used); `noise` draws standard normal pixels.
      space: `raw` starts at [0,1] pixels although networks are fed the parameters as
        they are (KRR-ST's released code); `whitened` starts where networks expect.
      represent: applies the teacher, `(variables, image) -> [n,d]`. With it the
        targets are learned vectors, started at the teacher's output on the un-augmented
        image; without it they are the class labels, in class-major order.
      views: the views that the teacher's table enumerates.

    Returns:
      A decoder with parameters `{"image": [m,h,w,c]}` and, with a teacher,
      `"target": [m,d]`.

    Raises:
      InputError: m exceeds the data set, or images per class exceed a class.
    """
    learned, ipc = represent is not None, task.ipc or 0
    if not learned and not ipc:
        raise InputError(
            f"size={task.size}: this method needs images per class; "
            "give ipc (--ipc N) instead of size, on data that has labels"
        )

    def init_params(key: Key, corpus: Corpus, assets: Assets) -> PyTree:
        key_rows, key_noise = jax.random.split(key)
        rows = random_rows(key_rows, corpus, task.size, None if learned else task.ipc)
        unit = whiten.to_unit(corpus.image[rows])
        white = whiten.apply(corpus.whitening, unit)
        params = {"image": unit if space == "raw" else white}
        if init == "noise":
            params = {"image": jax.random.normal(key_noise, white.shape, white.dtype)}
        if represent is not None:
            teacher: TeacherAsset = assets["teacher"]
            params["target"] = _targets(teacher, represent, rows, white, views)
        return params

    def decode(
        params: PyTree, assets: Assets, key: Key, rows: Array | None = None
    ) -> Synthetic:
        del assets, key
        target = (
            params["target"]
            if learned
            else jnp.repeat(jnp.arange(task.num_classes, dtype=jnp.int32), ipc)
        )
        image = params["image"]
        whole = Synthetic(image, target, jnp.ones(image.shape[0], image.dtype))
        return whole if rows is None else tree.take(whole, rows)

    def floats(params: PyTree) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(params))

    return Decoder(init_params, decode, lambda params: params, floats)


def _targets(
    teacher: TeacherAsset,
    represent: Represent,
    rows: Array,
    white: Array,
    views: Views,
) -> Array:
    """The teacher's outputs on un-augmented images [m,d], from its table if any."""
    dtype = jnp.promote_types(white.dtype, jnp.float32)
    if isinstance(teacher.table, tuple):
        return jax.jit(represent)(teacher.variables, white).astype(dtype)
    return teacher.table[views.identity, rows].astype(dtype)
