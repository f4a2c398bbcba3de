"""FRePo's augmentation: one of six operations for the whole batch, drawn per image.

Y. Zhou, E. Nezhadarya, J. Ba, "Dataset Distillation using Neural Feature Regression",
NeurIPS 2022, arXiv 2206.00719; constants of yongchaoz/FRePo. Images are whitened; what
comes from outside repeats their outermost pixels. Parameters have leading axis n or 1.
"""

import math

import jax
import jax.numpy as jnp

from jaxdd.augment import affine, geometry, policy
from jaxdd.base import Array, Augment, Key, PyTree

__all__ = ["frepo", "operations"]

_ALL = "flip_color_crop_rotate_translate_cutout"
_JITTER = 0.25
_ZOOM = (0.8, 1.25)
_ANGLE = math.radians(15)
_SHIFT, _CUT = 0.125, 4  # share of a side; sides of an image per side of the hole


def frepo(strategy: str, image_shape: tuple[int, int, int]) -> Augment:
    """One operation for the whole batch, with parameters of each image's own.

    Args:
      strategy: operations joined by "_"; "" = all six.
      image_shape: (h, w, c).

    Returns:
      The augmentation; parameters as `policy.one_of`.

    Raises:
      InputError: an unknown operation.
    """
    known = operations(image_shape)
    return policy.one_of(policy.named_operations(strategy or _ALL, known, "frepo"))


def operations(image_shape: tuple[int, int, int]) -> dict[str, Augment]:
    """The six operations by name, for images (h, w, c)."""
    height, width, _ = image_shape
    return {
        "flip": geometry.flip(),
        "color": _colour(),
        "crop": _crop(height, width),
        "rotate": _rotate(),
        "translate": _translate(height, width),
        "cutout": _cutout(height, width),
    }


def _colour() -> Augment:
    """Brightness, then contrast, then saturation, without clipping.

    Brightness is added, uniform in [-1/4, 1/4]; the factors are log-uniform in
    [e^-1/4, e^1/4], of what differs from the image's mean and from the mean of a
    pixel's channels. Parameters: {"brightness", "contrast", "saturation"}, each [n].
    """

    def sample(key: Key, n: int) -> PyTree:
        keys = jax.random.split(key, 3)
        draw = lambda k: jax.random.uniform(k, (n,), minval=-_JITTER, maxval=_JITTER)
        return {
            "brightness": draw(keys[0]),
            "contrast": jnp.exp(draw(keys[1])),
            "saturation": jnp.exp(draw(keys[2])),
        }

    def apply(params: PyTree, image: Array) -> Array:
        value = {
            name: factor[:, None, None, None].astype(image.dtype)
            for name, factor in params.items()
        }
        image = image + value["brightness"]
        mean = image.mean((1, 2, 3), keepdims=True)
        image = (image - mean) * value["contrast"] + mean
        mean = image.mean(-1, keepdims=True)
        return (image - mean) * value["saturation"] + mean

    return Augment(sample, apply)


def _crop(height: int, width: int) -> Augment:
    """Zooms by a factor z log-uniform in [0.8, 1.25] and cuts the image's size out.

    The middle moves by up to half of what the zoomed image has more, or less, than the
    original. Parameters: {"zoom": [n], "centre": [n,2]}, the latter in zoomed pixels.
    """

    def sample(key: Key, n: int) -> PyTree:
        key_zoom, key_centre = jax.random.split(key)
        low, high = map(math.log, _ZOOM)
        zoom = jnp.exp(jax.random.uniform(key_zoom, (n,), minval=low, maxval=high))
        size = jnp.array([[height, width]], zoom.dtype)
        limit = jnp.abs(zoom[:, None] - 1) * size / 2
        place = jax.random.uniform(key_centre, (n, 2), minval=-1.0, maxval=1.0)
        return {"zoom": zoom, "centre": limit * place}

    def apply(params: PyTree, image: Array) -> Array:
        def source(axis: int) -> Array:
            middle, place = _places(image.shape[axis + 1], params["zoom"])
            moved = place + params["centre"][:, axis, None]
            return middle + moved / params["zoom"][:, None]

        return affine.resample(image, source(0), source(1), "edge")

    return Augment(sample, apply)


def _rotate() -> Augment:
    """Rotates by up to 15 degrees, bilinear. Parameters: radians [n]."""

    def sample(key: Key, n: int) -> Array:
        return jax.random.uniform(key, (n,), minval=-_ANGLE, maxval=_ANGLE)

    return Augment(sample, lambda angle, image: affine.rotate(image, angle, "edge"))


def _translate(height: int, width: int) -> Augment:
    """Moves by up to an eighth of a side, bilinear. Parameters: pixels [n,2]."""

    def sample(key: Key, n: int) -> Array:
        limit = _SHIFT * jnp.array([[height, width]])
        return limit * jax.random.uniform(key, (n, 2), minval=-1.0, maxval=1.0)

    def apply(move: Array, image: Array) -> Array:
        def source(axis: int) -> Array:
            middle, place = _places(image.shape[axis + 1], move)
            return middle + place - move[:, axis, None]

        return affine.resample(image, source(0), source(1), "edge")

    return Augment(sample, apply)


def _cutout(height: int, width: int) -> Augment:
    """Zeroes a box of a quarter of the sides anywhere inside the image.

    Parameters: int [n,2], its first (row, column).
    """
    size = height // _CUT, width // _CUT

    def sample(key: Key, n: int) -> Array:
        ends = jnp.array([[height - size[0] + 1, width - size[1] + 1]])
        return jax.random.randint(key, (n, 2), 0, ends)

    def apply(first: Array, image: Array) -> Array:
        return geometry.cleared(image, first, size)

    return Augment(sample, apply)


def _places(size: int, like: Array) -> tuple[float, Array]:
    """The middle of an axis and its pixels counted from there [1,size]."""
    middle = (size - 1) / 2
    return middle, jnp.arange(size, dtype=like.dtype)[None] - middle
