"""Images as combinations of few shared, small pictures: RTP's addressable memory."""

import math

import jax
import jax.numpy as jnp

from jaxdd.augment import affine
from jaxdd.base import Array, Assets, Corpus, Decoder, Key, PyTree, Synthetic, Task
from jaxdd.decoders.noise import xavier_uniform
from jaxdd.errors import InputError

__all__ = ["basis", "rows_in_budget"]


def basis(
    task: Task,
    *,
    count: int = 16,
    scale: int = 2,
    per_class: int = 0,
) -> Decoder:
    """Images as sums of `count` bases, weighted by coefficients of each image's own.

    image_i = up(sum_k A_ik M_k), with bases M [K,h/s,w/s,c] that all classes share,
    coefficients A [k n,K] of n images per class, and `up` the bilinear enlargement by s
    whose pixels lie half-way (PyTorch's `interpolate`, corners not aligned).

    Args:
      task: its size is the budget: all bases and coefficients together hold at most
        as many numbers as that many images.
      count: K.
      scale: s, which divides both sides.
      per_class: n; 0 = as many as the budget allows (`rows_in_budget`). Given, it may
        exceed the budget.

    Returns:
      A decoder with parameters `{"basis": M, "coefficient": A}`, which decodes
      k n images in class-major order; both start with Glorot's uniform bound, M as a
      matrix [K,hwc/s^2] (Deng and Russakovsky, NeurIPS 2022, arXiv
      2206.02916, section 4).

    Raises:
      InputError: a count out of range, a side that `scale` does not divide, or a budget
        too small for one image per class.
    """
    height, width, channels = task.image_shape
    _check(task, count, scale, per_class)
    each = per_class or rows_in_budget(task, count, scale)
    if each < 1:
        raise InputError(
            f"distill.bases={count}: they alone take the numbers of {task.ipc} images"
            " per class, and no image is left to combine; fewer bases, or a larger"
            " distill.downscale"
        )
    small = (count, height // scale, width // scale, channels)
    rows = task.num_classes * each

    def init_params(key: Key, corpus: Corpus, assets: Assets) -> PyTree:
        del corpus, assets
        keys = jax.random.split(key)
        return {
            "basis": xavier_uniform(keys[0], small),
            "coefficient": xavier_uniform(keys[1], (rows, count)),
        }

    def decode(
        params: PyTree, assets: Assets, key: Key, rows: Array | None = None
    ) -> Synthetic:
        del assets, key
        target = jnp.repeat(jnp.arange(task.num_classes, dtype=jnp.int32), each)
        coefficient = params["coefficient"]
        if rows is not None:
            coefficient, target = coefficient[rows], target[rows]
        image = _combined(coefficient, _enlarged(params["basis"], scale))
        return Synthetic(image, target, jnp.ones(image.shape[0], image.dtype))

    def floats(params: PyTree) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(params))

    return Decoder(init_params, decode, lambda params: params, floats)


def rows_in_budget(task: Task, count: int, scale: int) -> int:
    """Images per class that bases and a budget of `task.size` images leave room for.

    floor((m D - K D / s^2) / (k K)) with D the numbers of an image and m = `task.size`;
    negative where the bases alone are too many.
    """
    numbers = math.prod(task.image_shape)
    left = task.size * numbers - count * numbers // scale**2
    return left // (task.num_classes * count)


def _enlarged(picture: Array, scale: int) -> Array:
    """Bilinear enlargement [n,h,w,c] -> [n,h s,w s,c]; the edge goes on outside."""
    if scale == 1:
        return picture
    _, height, width, _ = picture.shape

    def source(size: int) -> Array:
        place = jnp.arange(size * scale, dtype=picture.dtype)[None]
        return (place + 0.5) / scale - 0.5

    return affine.resample(picture, source(height), source(width), "edge")


def _combined(coefficient: Array, picture: Array) -> Array:
    """Rows [n,K] times pictures [K,h,w,c]."""
    highest = jax.lax.Precision.HIGHEST
    return jnp.einsum("nk,khwc->nhwc", coefficient, picture, precision=highest)


def _check(task: Task, count: int, scale: int, per_class: int) -> None:
    height, width, _ = task.image_shape
    if task.ipc is None:
        raise InputError(
            f"size={task.size}: this method needs images per class; "
            "give ipc (--ipc N) instead of size, on data that has labels"
        )
    if count < 1:
        raise InputError(f"distill.bases={count}: must be at least 1")
    if scale < 1 or height % scale or width % scale:
        raise InputError(
            f"distill.downscale={scale}: must divide both sides of the images "
            f"({height}x{width})"
        )
    if per_class < 0:
        raise InputError(
            f"distill.images_per_class={per_class}: must be at least 1, or 0 for as"
            " many as the budget allows"
        )
