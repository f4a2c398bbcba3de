"""The plainest parameterisation: every pixel is a free parameter."""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxdd import tree, whiten
from jaxdd.base import Array, Assets, Corpus, Decoder, Key, PyTree, Synthetic, Task
from jaxdd.decoders.initial import EXPERT_STARTS, STARTS, Logits, first_images
from jaxdd.decoders.labels import Targets, classes_of
from jaxdd.errors import InputError, one_of

__all__ = ["pixels"]


def pixels(
    task: Task,
    *,
    init: str = "real",
    space: Literal["whitened", "raw"] = "whitened",
    judge: Logits | None = None,
    targets: Targets | None = None,
) -> Decoder:
    """Images [m,h,w,c] as parameters, with fixed labels or learned target vectors.

    Args:
      task: gives m, the number of classes and the image shape.
      init: where the images start, see `initial.first_images`.
      space: `raw` starts at [0,1] pixels although networks are fed the parameters as
        they are (KRR-ST's released code); `whitened` starts where networks expect.
      judge: applies an expert, for an `init` that asks `assets["experts"]`.
      targets: what the images teach (`labels.teacher_outputs`, `labels.expert_logits`,
        `labels.centred`); None = the class labels, in class-major order.

    Returns:
      A decoder with parameters `{"image": [m,h,w,c]}` and, with learned targets,
      `"target": [m,d]`.

    Raises:
      InputError: m exceeds the data set, or images per class exceed a class; an unknown
        start, or one that needs what is not there.
    """
    by_class = targets is None or targets.by_class
    _check(task, init, by_class, judge is not None)

    def init_params(key: Key, corpus: Corpus, assets: Assets) -> PyTree:
        experts = None if judge is None else (assets["experts"], judge)
        each = task.ipc if by_class else None
        white, rows = first_images(init, key, corpus, task.size, each, experts)
        raw = space == "raw" and rows is not None and init != "noise"
        params = {"image": whiten.to_unit(corpus.image[rows]) if raw else white}
        if targets is not None and targets.learned:
            params["target"] = targets.start(assets, white, rows)
        return params

    def decode(
        params: PyTree, assets: Assets, key: Key, rows: Array | None = None
    ) -> Synthetic:
        del key
        image = params["image"]
        if targets is None:
            target = jnp.asarray(classes_of(task))
        elif targets.learned:
            target = params["target"]
        else:
            target = targets.start(assets, image, None)
        whole = Synthetic(image, target, jnp.ones(image.shape[0], image.dtype))
        return whole if rows is None else tree.take(whole, rows)

    def floats(params: PyTree) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(params))

    return Decoder(init_params, decode, lambda params: params, floats)


def _check(task: Task, init: str, by_class: bool, judged: bool) -> None:
    """Refuses starts that are unknown, or need rows or experts that are not there."""
    one_of("init", init, (*STARTS, *EXPERT_STARTS))
    if init in EXPERT_STARTS and not judged:
        raise InputError(
            f"init={init!r}: asks experts, which this method does not train; choose "
            f"among {', '.join(STARTS)}"
        )
    if init == "class_mean" and not by_class:
        raise InputError(
            "init='class_mean': the means are of classes, and the targets of this set "
            "are a teacher's outputs; choose 'real', 'kmeans' or 'k_center'"
        )
    if by_class and not task.ipc:
        raise InputError(
            f"size={task.size}: this method needs images per class; "
            "give ipc (--ipc N) instead of size, on data that has labels"
        )
