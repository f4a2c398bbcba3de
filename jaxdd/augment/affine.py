"""Resampling of images at fractional positions, bilinear.

Positions are in pixels, (0, 0) the middle of the first one. Separable maps are two
small matrix products an image; others gather their four neighbours.
"""

from typing import Literal

import jax
import jax.numpy as jnp

from jaxdd.base import Array

__all__ = ["Outside", "combine", "resample", "rotate", "rows", "turned"]

Outside = Literal["zero", "edge"]
"""What lies outside an image: zeros, or its outermost pixels."""


def resample(
    image: Array, row: Array, column: Array, outside: Outside = "zero"
) -> Array:
    """Samples on a grid of rows and columns.

    Args:
      image: [n,h,w,c].
      row: positions [n or 1, h].
      column: positions [n or 1, w].
      outside: what lies there.

    Returns:
      [n,h,w,c].
    """
    _, height, width, _ = image.shape
    if outside == "edge":
        row, column = jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)
    return combine(image, _weights(row, height), _weights(column, width))


def combine(image: Array, row: Array, column: Array) -> Array:
    """Sums over rows and columns with weights [n or 1, out, h] and [n or 1, out, w]."""
    n = len(image)
    row, column = rows(row.astype(image.dtype), n), rows(column.astype(image.dtype), n)
    precision = jax.lax.Precision.HIGHEST
    half = jnp.einsum("nij,njwc->niwc", row, image, precision=precision)
    return jnp.einsum("nkw,niwc->nikc", column, half, precision=precision)


def rotate(
    image: Array,
    angle: Array,
    outside: Outside = "zero",
    shift: Array | float = 0.0,
) -> Array:
    """Rotates about the centre.

    The output pixel (r, c), counted from the centre, is the input at
    (r cos + c sin, c cos - r sin).

    Args:
      image: [n,h,w,c].
      angle: radians [n or 1].
      outside: what lies there.
      shift: added to r and c first, [n or 1, 2] or 0.

    Returns:
      [n,h,w,c].
    """
    _, height, width, _ = image.shape
    row, column = turned(angle, height, width, shift)
    if outside == "edge":
        row, column = jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)
    else:
        # One pixel out, all neighbours are in the padding.
        row, column = jnp.clip(row, -1, height), jnp.clip(column, -1, width)
    return _gather(image, row, column)


def turned(
    angle: Array, height: int, width: int, shift: Array | float = 0.0
) -> tuple[Array, Array]:
    """Where a rotation takes its pixels from: rows and columns, each [n,h,w].

    Args:
      angle: radians [n].
      height: h.
      width: w.
      shift: added to the output's rows and columns before turning, [n,2] or 0.
    """
    shift = jnp.broadcast_to(shift, (*angle.shape, 2))[:, None, None]
    down = jnp.arange(height, dtype=angle.dtype) - (height - 1) / 2
    right = jnp.arange(width, dtype=angle.dtype) - (width - 1) / 2
    down = down[None, :, None] + shift[..., 0]
    right = right[None, None, :] + shift[..., 1]
    cos, sin = (f(angle)[:, None, None] for f in (jnp.cos, jnp.sin))
    return (
        (height - 1) / 2 + cos * down + sin * right,
        (width - 1) / 2 + cos * right - sin * down,
    )


def rows(params: Array, n: int) -> Array:
    """Parameters [n or 1, ...] repeated to [n, ...]."""
    return jnp.broadcast_to(params, (n, *params.shape[1:]))


def _weights(source: Array, size: int) -> Array:
    """Interpolation weights [n,out,size] of fractional positions [n,out]."""
    place = jnp.arange(size, dtype=source.dtype)[None, None]
    return jnp.maximum(0.0, 1.0 - jnp.abs(source[..., None] - place))


def _gather(image: Array, row: Array, column: Array) -> Array:
    """The four neighbours' weighted sum; positions [n or 1,h,w] in [-1, size]."""
    n, height, width, channels = image.shape
    stride = width + 3
    padded = jnp.pad(image, ((0, 0), (1, 2), (1, 2), (0, 0)))
    flat = padded.reshape(n, -1, channels)
    top, left = jnp.floor(row), jnp.floor(column)
    first = (top.astype(jnp.int32) + 1) * stride + left.astype(jnp.int32) + 1
    first = rows(first.reshape(-1, height * width, 1), n)
    down, right = (
        (p - jnp.floor(p))[..., None].astype(image.dtype) for p in (row, column)
    )

    def at(offset: int) -> Array:
        near = jnp.take_along_axis(
            flat, first + offset, axis=1, mode="promise_in_bounds"
        )
        return near.reshape(image.shape)

    above = (1 - right) * at(0) + right * at(1)
    below = (1 - right) * at(stride) + right * at(stride + 1)
    return (1 - down) * above + down * below
