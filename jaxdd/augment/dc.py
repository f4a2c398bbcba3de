"""The augmentation of dataset condensation by gradient matching (DC), for students.

B. Zhao, K. R. Mopuri, H. Bilen, "Dataset Condensation with Gradient Matching", ICLR
2021, arXiv 2006.05929; operations and constants of VICO-UoE/DatasetCondensation. One
operation for each image; parameters have leading axis n or 1.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.augment import affine, geometry, noise, policy
from jaxdd.base import Array, Augment, Key

__all__ = ["dc", "operations"]

_ALL = "crop_noise"
_PAD, _STRETCH, _DEGREES, _NOISE = 4, 0.2, 45, 0.001


def dc(strategy: str, image_shape: tuple[int, int, int]) -> Augment:
    """One operation for each image, each as likely as any other.

    Args:
      strategy: operations joined by "_"; "" = crop_noise, which the authors' program
        takes for natural images (with batch norm only).
      image_shape: (h, w, c).

    Returns:
      The augmentation; parameters as `policy.one_of_each`.

    Raises:
      InputError: an unknown operation.
    """
    known = operations(image_shape)
    return policy.one_of_each(policy.named_operations(strategy or _ALL, known, "dc"))


def operations(image_shape: tuple[int, int, int]) -> dict[str, Augment]:
    """The four operations by name, for images (h, w, c)."""
    height, width, _ = image_shape
    return {
        "crop": _crop(),
        "scale": _scale(height, width),
        "rotate": _rotate(height, width),
        "noise": noise.additive_noise(_NOISE, image_shape),
    }


def _crop() -> Augment:
    """Pads by 4 pixels of the batch's channel means and crops back.

    Parameters: int [n,2], offsets (row, column) in [0, 7]; 4 is the identity.
    """

    def sample(key: Key, n: int) -> Array:
        return jax.random.randint(key, (n, 2), 0, 2 * _PAD)

    def apply(offset: Array, image: Array) -> Array:
        height, width, _ = image.shape[1:]
        mean = image.mean((0, 1, 2))[None, None, None]
        shape = (len(image), height + 2 * _PAD, width + 2 * _PAD, image.shape[-1])
        start = (0, _PAD, _PAD, 0)
        padded = jax.lax.dynamic_update_slice(
            jnp.broadcast_to(mean, shape), image, start
        )
        return geometry.windows(padded, offset, image.shape[1:])

    return Augment(sample, apply)


def _scale(height: int, width: int) -> Augment:
    """Resizes each side by up to a fifth to its nearest pixels, about the middle.

    Zero outside. Parameters: int [n,2], the new (height, width), floor(u side) for u
    uniform in [0.8, 1.2].
    """

    def sample(key: Key, n: int) -> Array:
        share = jax.random.uniform(
            key, (n, 2), minval=1 - _STRETCH, maxval=1 + _STRETCH
        )
        side = jnp.array([[height, width]], share.dtype)
        return jnp.floor(share * side).astype(jnp.int32)

    def apply(size: Array, image: Array) -> Array:
        # The program pastes into a square that holds both sizes, then cuts the middle
        # out; both halvings round down.
        canvas = jnp.maximum(size.max(1), max(height, width))[:, None]

        def selected(axis: int) -> Array:
            old, new = image.shape[axis + 1], size[:, axis, None]
            shift = (canvas - old) // 2 - (canvas - new) // 2
            place = jnp.arange(old)[None] + shift
            # In float32 as PyTorch, whose rounding decides at whole numbers.
            step = jnp.float32(old) / new.astype(jnp.float32)
            source = jnp.floor(place.astype(jnp.float32) * step).astype(jnp.int32)
            source = jnp.minimum(source, old - 1)
            source = jnp.where((place >= 0) & (place < new), source, -1)
            return source[..., None] == jnp.arange(old)[None, None]

        return affine.combine(image, selected(0), selected(1))

    return Augment(sample, apply)


def _rotate(height: int, width: int) -> Augment:
    """Rotates by whole degrees with a cubic spline, as `scipy.ndimage.rotate`.

    Outside lies the mean of the batch. Parameters: int degrees [n] in [-45, 44].
    """
    shift = jnp.asarray(_half_pixels(height, width))

    def sample(key: Key, n: int) -> Array:
        return jax.random.randint(key, (n,), -_DEGREES, _DEGREES)

    def apply(degrees: Array, image: Array) -> Array:
        precise = jnp.promote_types(image.dtype, jnp.float32)
        angle = jnp.deg2rad(degrees.astype(precise))
        half = shift[degrees + _DEGREES].astype(precise)
        row, column = affine.turned(angle, height, width, half)
        inside = (row >= 0) & (row <= height - 1)
        inside &= (column >= 0) & (column <= width - 1)
        turned = _spline(image, row, column)
        return jnp.where(inside[..., None], turned, image.mean())

    return Augment(sample, apply)


def _half_pixels(height: int, width: int) -> np.ndarray:
    """How far the middle moves for each angle [90,2]: 0 or -1/2 pixel.

    The rotated image is first made large enough to hold all of it, then the middle is
    cut out, rounded down.
    """
    angle = np.deg2rad(np.arange(-_DEGREES, _DEGREES))
    cos, sin = np.cos(angle), np.abs(np.sin(angle))
    tall = (height * cos + width * sin + 0.5).astype(int)
    wide = (width * cos + height * sin + 0.5).astype(int)
    more = np.stack([tall - height, wide - width], axis=1)
    return np.trunc(more / 2) - more / 2


def _spline(image: Array, row: Array, column: Array) -> Array:
    """Cubic B-spline interpolation at positions [n or 1,h,w] inside the images."""
    n, height, width, channels = image.shape
    filters = (jnp.asarray(_spline_filter(size))[None] for size in (height, width))
    flat = affine.combine(image, *filters).reshape(n, -1, channels)
    total = jnp.zeros_like(image)
    for down, near in _taps(row, height):
        for right, beside in _taps(column, width):
            place = (near * width + beside).reshape(-1, height * width, 1)
            place = affine.rows(place, n)
            value = jnp.take_along_axis(flat, place, axis=1, mode="promise_in_bounds")
            share = (down * right)[..., None].astype(image.dtype)
            total += share * value.reshape(image.shape)
    return total


def _spline_filter(size: int) -> np.ndarray:
    """The matrix from values at pixels to B-spline weights, mirrored at the ends."""
    values = np.zeros((size, size))
    for node in range(size):
        values[node, node] += 4 / 6
        for near in (node - 1, node + 1):
            values[node, _mirrored(near, size)] += 1 / 6
    return np.linalg.inv(values)


def _taps(place: Array, size: int) -> list[tuple[Array, Array]]:
    """Weights and indices of the four nodes around each position; mirrored outside."""
    place = jnp.clip(place, 0, size - 1)
    first = jnp.floor(place)
    x = place - first
    weights = (
        (1 - x) ** 3 / 6,
        2 / 3 - x**2 + x**3 / 2,
        2 / 3 - (1 - x) ** 2 + (1 - x) ** 3 / 2,
        x**3 / 6,
    )
    nodes = (first.astype(jnp.int32) + offset for offset in (-1, 0, 1, 2))
    return [(w, _mirrored(node, size)) for w, node in zip(weights, nodes, strict=True)]


def _mirrored(node: Any, size: int) -> Any:
    """Indices up to two beyond the ends, mirrored about the outermost pixels."""
    return size - 1 - abs(size - 1 - abs(node))
