"""Mixing the rows of a batch: CutMix and mixup, on images and targets."""

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Key, Mix, PyTree
from jaxdd.errors import InputError
from jaxdd.records import AugmentSpec

__all__ = ["cut_box", "mixing"]


def mixing(spec: AugmentSpec, image_shape: tuple[int, int, int]) -> Mix | None:
    """CutMix, mixup, or one of the two at random.

    With probability `spec.cutmix` a box of every image is replaced by that of another
    row (Yun et al. 2019, arXiv 1905.04899): for u uniform in [0,1) its sides are
    floor(h sqrt(1-u)) and floor(w sqrt(1-u)) before halves are rounded down, its centre
    is a uniform pixel, and it is clipped to the image. Otherwise, with `spec.mixup`,
    image and target become s x + (1-s) x', s drawn from Beta(mixup, mixup) (Zhang et
    al. 2018, arXiv 1710.09412). One box, one share and one permutation of the rows for
    the whole batch.

    Args:
      spec: its `cutmix` and `mixup`.
      image_shape: (h, w, c).

    Returns:
      The mixing, or None where both are off. Parameters: {"other": int [n], the rows
      that are mixed in; "box": int [1,4], (top, left, bottom, right), empty where
      there is no CutMix; "share": [1], of the image itself}.

    Raises:
      InputError: a value out of range, or (from `apply`) targets that are not float
        rows.
    """
    if not 0 <= spec.cutmix <= 1:
        raise InputError(f"augment.cutmix={spec.cutmix}: must be in [0, 1]")
    if spec.mixup < 0:
        raise InputError(f"augment.mixup={spec.mixup}: must be >= 0; 0 = off")
    if not spec.cutmix and not spec.mixup:
        return None
    height, width, _ = image_shape

    def sample(key: Key, n: int) -> PyTree:
        key_on, key_box, key_share, key_rows = jax.random.split(key, 4)
        cut = jax.random.bernoulli(key_on, spec.cutmix, (1,))
        share = jnp.ones(1)
        if spec.mixup:
            drawn = jax.random.beta(key_share, spec.mixup, spec.mixup, (1,))
            share = jnp.where(cut, share, drawn)
        return {
            "other": jax.random.permutation(key_rows, n),
            "box": jnp.where(cut[:, None], _box(key_box, height, width), 0),
            "share": share,
        }

    return Mix(sample, _apply)


def cut_box(share: Array, centre: Array, height: int, width: int) -> Array:
    """The box of CutMix that leaves about `share` of an image, clipped to it.

    Args:
      share: in [0,1], [n].
      centre: int (row, column) [n,2].
      height: h.
      width: w.

    Returns:
      int [n,4], (top, left, bottom, right).
    """
    size = jnp.array([[height, width]])
    half = jnp.floor(size * jnp.sqrt(1 - share)[:, None]).astype(jnp.int32) // 2
    corners = jnp.concatenate([centre - half, centre + half], axis=1)
    return jnp.clip(corners, 0, jnp.concatenate([size, size], axis=1))


def _box(key: Key, height: int, width: int) -> Array:
    """A random box [1,4]; the share is uniform, which is Beta(1, 1)."""
    key_share, key_centre = jax.random.split(key)
    share = jax.random.uniform(key_share, (1,))
    centre = jax.random.randint(key_centre, (1, 2), 0, jnp.array([[height, width]]))
    return cut_box(share, centre, height, width)


def _apply(params: PyTree, image: Array, target: Array) -> tuple[Array, Array]:
    if target.ndim != 2 or not jnp.issubdtype(target.dtype, jnp.floating):
        raise InputError(
            f"targets {target.dtype}{list(target.shape)}: CutMix and mixup need float "
            "rows [n,k]; give one-hot rows in place of class numbers"
        )
    top, left, bottom, right = params["box"][0]
    row = jnp.arange(image.shape[1])[None, :, None, None]
    column = jnp.arange(image.shape[2])[None, None, :, None]
    inside = (row >= top) & (row < bottom) & (column >= left) & (column < right)
    area = (bottom - top) * (right - left) / (image.shape[1] * image.shape[2])
    share = params["share"][0]
    other = image[params["other"]]
    mixed = jnp.where(inside, other, _blend(image, other, share))
    own = share * (1 - area)
    return mixed, _blend(target, target[params["other"]], own)


def _blend(first: Array, second: Array, share: Array) -> Array:
    share = share.astype(first.dtype)
    return share * first + (1 - share) * second
