"""Operations that move pixels: crop, flip, shift and scale, resized crop.

Parameters have leading axis n or 1 (one draw for all images). What comes from outside
the image is zero, which is the data's mean on whitened images.
"""

import jax
import jax.numpy as jnp

from jaxdd.augment.affine import resample, rows
from jaxdd.base import Array, Augment, Key, PyTree

__all__ = ["cleared", "crop", "flip", "resized_crop", "shift_scale", "windows"]

_ATTEMPTS = 10  # draws of a crop box before the whole image is taken, as torchvision
_LOG_RATIO = 0.28768207  # log(4/3): aspect ratios from 3/4 to 4/3


def crop(padding: int | tuple[int, int]) -> Augment:
    """Pad by `padding` zeros on each side and crop back at a uniform offset.

    Two numbers pad rows and columns apart. Parameters: int [n,2], the offset (row,
    column) in [0, 2 padding]; `padding` is the identity.
    """
    down, right = (padding, padding) if isinstance(padding, int) else padding

    def sample(key: Key, n: int) -> Array:
        ends = jnp.array([[2 * down + 1, 2 * right + 1]])
        return jax.random.randint(key, (n, 2), 0, ends)

    def apply(offset: Array, image: Array) -> Array:
        padded = jnp.pad(image, ((0, 0), (down, down), (right, right), (0, 0)))
        return windows(padded, offset, image.shape[1:])

    return Augment(sample, apply)


def windows(image: Array, offset: Array, shape: tuple[int, ...]) -> Array:
    """Cuts a window (h, w, c) out of every image at int offsets [n or 1, 2]."""

    def one(row: Array, at: Array) -> Array:
        return jax.lax.dynamic_slice(row, (at[0], at[1], 0), shape)

    return jax.vmap(one)(image, rows(offset, len(image)))


def cleared(image: Array, first: Array, size: tuple[int, int]) -> Array:
    """Images with a box of zeros of the given size from int `first` [n or 1, 2] on.

    The box may reach beyond the image.
    """

    def inside(axis: int) -> Array:
        place = jnp.arange(image.shape[axis + 1])[None]
        start = first[:, axis, None]
        return (place >= start) & (place < start + size[axis])

    box = inside(0)[:, :, None, None] & inside(1)[:, None, :, None]
    return jnp.where(box, jnp.zeros((), image.dtype), image)


def flip() -> Augment:
    """Mirror left-right with probability 1/2. Parameters: bool [n]."""

    def sample(key: Key, n: int) -> Array:
        return jax.random.bernoulli(key, 0.5, (n,))

    def apply(mirror: Array, image: Array) -> Array:
        return jnp.where(mirror[:, None, None, None], image[:, :, ::-1], image)

    return Augment(sample, apply)


def shift_scale(shift: float, scale: float) -> Augment:
    """Translate by up to `shift` pixels and zoom by up to 1 + `scale`, bilinear.

    Parameters: {"shift": [n,2] uniform in [-shift, shift] (rows, columns), "zoom": [n]
    log-uniform in [1/(1+scale), 1+scale], the same for both axes}. Zoom is about the
    centre, and above 1 enlarges.
    """

    def sample(key: Key, n: int) -> PyTree:
        key_shift, key_zoom = jax.random.split(key)
        zoom = jax.random.uniform(key_zoom, (n,), minval=-1.0, maxval=1.0)
        move = jax.random.uniform(key_shift, (n, 2), minval=-1.0, maxval=1.0)
        return {"shift": shift * move, "zoom": (1 + scale) ** zoom}

    def apply(params: PyTree, image: Array) -> Array:
        def source(axis: int) -> Array:
            size = image.shape[axis + 1]
            centre = (size - 1) / 2
            place = jnp.arange(size, dtype=params["shift"].dtype)[None] - centre
            back = place - params["shift"][:, axis, None]
            return centre + back / params["zoom"][:, None]

        return resample(image, source(0), source(1))

    return Augment(sample, apply)


def resized_crop(min_area: float, image_shape: tuple[int, int, int]) -> Augment:
    """Cut a random box and stretch it over the whole image, bilinear.

    The box covers a uniform share of the area in [min_area, 1] with a log-uniform
    aspect ratio in [3/4, 4/3]; boxes that do not fit are redrawn up to ten times, then
    the whole image is taken. Unlike torchvision's, corners are not rounded to pixels.
    Parameters: [n,4], (top, left, height, width) in pixels.
    """
    height, width, _ = image_shape

    def sample(key: Key, n: int) -> Array:
        key_area, key_ratio, key_place = jax.random.split(key, 3)
        draws = (n, _ATTEMPTS)
        area = jax.random.uniform(key_area, draws, minval=min_area, maxval=1.0)
        log_ratio = jax.random.uniform(
            key_ratio, draws, minval=-_LOG_RATIO, maxval=_LOG_RATIO
        )
        tall = jnp.sqrt(area * height * width * jnp.exp(-log_ratio))
        wide = jnp.sqrt(area * height * width * jnp.exp(log_ratio))
        fits = (tall <= height) & (wide <= width)
        first = jnp.argmax(fits, axis=1)[:, None]
        whole = jnp.asarray([height, width], tall.dtype)[None]
        box = jnp.concatenate(
            [jnp.take_along_axis(side, first, axis=1) for side in (tall, wide)], axis=1
        )
        # A box below one pixel would have no two rows to interpolate between.
        box = jnp.where(fits.any(1)[:, None], jnp.maximum(box, 1.0), whole)
        corner = jax.random.uniform(key_place, (n, 2)) * (whole - box)
        return jnp.concatenate([corner, box], axis=1)

    def apply(box: Array, image: Array) -> Array:
        def source(axis: int) -> Array:
            size = image.shape[axis + 1]
            start, extent = box[:, axis, None], box[:, axis + 2, None]
            middle = (jnp.arange(size, dtype=box.dtype)[None] + 0.5) * extent / size
            return start + jnp.clip(middle - 0.5, 0.0, extent - 1)

        return resample(image, source(0), source(1))

    return Augment(sample, apply)
