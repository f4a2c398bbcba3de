"""The plainest parameterisation: every pixel is a free parameter."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import tree, whiten
from jaxdd.base import (
    Array,
    Assets,
    Corpus,
    Decoder,
    Key,
    PyTree,
    Synthetic,
    Task,
    TeacherAsset,
    Variables,
)
from jaxdd.decoders.initial import (
    EXPERT_STARTS,
    STARTS,
    Judge,
    first_images,
    soft_labels,
)
from jaxdd.errors import InputError, one_of
from jaxdd.records import Views
from jaxdd.training.losses import centred_one_hot

__all__ = ["pixels"]

Represent = Callable[[Variables, Array], Array]


def pixels(
    task: Task,
    *,
    init: str = "real",
    space: Literal["whitened", "raw"] = "whitened",
    represent: Represent | None = None,
    views: Views = Views(),
    judge: Judge | None = None,
    labels: Literal["hard", "average", "first", "centred", "centred_fixed"] = "hard",
    label_scale: float = 1.0,
) -> Decoder:
    """Images [m,h,w,c] as parameters, with fixed labels or learned target vectors.

    Args:
      task: gives m, the number of classes and the image shape.
      init: where the images start, see `initial.first_images`.
      space: `raw` starts at [0,1] pixels although networks are fed the parameters as
        they are (KRR-ST's released code); `whitened` starts where networks expect.
      represent: applies the teacher, `(variables, image) -> [n,d]`. With it the
        targets are learned vectors, started at the teacher's output on the un-augmented
        image; without it they are the class labels, in class-major order.
      views: the views that the teacher's table enumerates.
      judge: applies an expert, for `init` and `labels` that ask `assets["experts"]`.
      labels: `hard`; `average` or `first`, learned logits, started at those of experts
        on the un-augmented image, see `initial.soft_labels`; `centred`, learned rows
        [m,k] started at `label_scale` (e_y - 1/k), which `centred_fixed` keeps.
      label_scale: of the last two.

    Returns:
      A decoder with parameters `{"image": [m,h,w,c]}` and, with learned targets,
      `"target": [m,d]`.

    Raises:
      InputError: m exceeds the data set, or images per class exceed a class; an unknown
        start, or one that needs what is not there.
    """
    ipc = task.ipc or 0
    learned = represent is not None or labels not in ("hard", "centred_fixed")
    _check(init, represent is not None, judge is not None)
    if represent is None and not ipc:
        raise InputError(
            f"size={task.size}: this method needs images per class; "
            "give ipc (--ipc N) instead of size, on data that has labels"
        )

    classes = np.repeat(np.arange(task.num_classes, dtype=np.int32), ipc)
    centred = labels in ("centred", "centred_fixed")

    def rows_of_classes(dtype: Any) -> Array:
        return label_scale * centred_one_hot(
            jnp.asarray(classes), task.num_classes, dtype
        )

    def init_params(key: Key, corpus: Corpus, assets: Assets) -> PyTree:
        rows_of = None if represent is not None else task.ipc
        experts = None if judge is None else (assets["experts"], judge)
        white, rows = first_images(init, key, corpus, task.size, rows_of, experts)
        raw = space == "raw" and rows is not None and init != "noise"
        params = {"image": whiten.to_unit(corpus.image[rows]) if raw else white}
        if represent is not None:
            assert rows is not None
            teacher: TeacherAsset = assets["teacher"]
            params["target"] = _targets(teacher, represent, rows, white, views)
        if labels == "centred":
            params["target"] = rows_of_classes(white.dtype)
        elif learned and represent is None:
            assert judge is not None
            params["target"] = soft_labels(
                judge,
                assets["experts"],
                white,
                jnp.asarray(classes),
                "average" if labels == "average" else "first",
            )
        return params

    def decode(
        params: PyTree, assets: Assets, key: Key, rows: Array | None = None
    ) -> Synthetic:
        del assets, key
        image = params["image"]
        if learned:
            target = params["target"]
        else:
            target = rows_of_classes(image.dtype) if centred else jnp.asarray(classes)
        whole = Synthetic(image, target, jnp.ones(image.shape[0], image.dtype))
        return whole if rows is None else tree.take(whole, rows)

    def floats(params: PyTree) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(params))

    return Decoder(init_params, decode, lambda params: params, floats)


def _check(init: str, taught: bool, judged: bool) -> None:
    """Refuses starts that are unknown, or need rows or experts that are not there."""
    one_of("init", init, (*STARTS, *EXPERT_STARTS))
    if init in EXPERT_STARTS and not judged:
        raise InputError(
            f"init={init!r}: asks experts, which this method does not train; choose "
            f"among {', '.join(STARTS)}"
        )
    if init == "class_mean" and taught:
        raise InputError(
            "init='class_mean': the means are of classes, and the targets of this set "
            "are a teacher's outputs; choose 'real', 'kmeans' or 'k_center'"
        )


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
