"""Which pairs of pixels of two images a kernel needs, and what layers do to them.

Pooling mixes the covariances of different pixels. A convolution moves both pixels of a
pair alike, so that their offset stays: pairs are stored as [h,w,n,m,i,j], pixel (h,w)
of the first image with pixel (h + i-th, w + j-th offset) of the second. Behind the last
pooling one offset is left; before it, as many as it mixes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import Array
from jaxdd.errors import InputError
from jaxdd.kernels.architectures import Layer

__all__ = [
    "Axis",
    "Grid",
    "average",
    "box",
    "centre",
    "mean",
    "plan",
    "products",
    "products_of_same",
    "windows",
]


class Axis(NamedTuple):
    """One axis of both images: its length, and the offsets from first to last.

    Offsets are taken cyclically, with one zero between the last pixel and the first:
    each pair stands once, and what a convolution moves out of an image meets a zero.
    """

    side: int
    first: int = 0
    last: int = 0

    @property
    def count(self) -> int:
        """How many offsets."""
        return self.last - self.first + 1


class Grid(NamedTuple):
    """The pairs of pixels that a layer gets."""

    rows: Axis
    columns: Axis

    @property
    def size(self) -> int:
        """Numbers to be kept for one pair of images."""
        (height, *_), (width, *_) = self
        return height * self.rows.count * width * self.columns.count


def plan(layers: tuple[Layer, ...], height: int, width: int, name: str) -> list[Grid]:
    """What each layer of a network gets, and at the end what it leaves.

    Args:
      layers: from the image to the output.
      height: of the images. width: of the images.
      name: of the architecture, for messages.

    Returns:
      A grid for each layer and one for what the last returns.

    Raises:
      InputError: a pooling layer that gets a single row or column.
    """
    sides = _sides(layers, height, width, name)
    grids = [Grid(*(Axis(side) for side in sides[-1]))]
    for layer, now in zip(layers[::-1], sides[-2::-1], strict=True):
        given = zip(grids[-1], now, strict=True)
        grids.append(Grid(*(_before(layer, axis, side) for axis, side in given)))
    return grids[::-1]


def _sides(
    layers: tuple[Layer, ...], height: int, width: int, name: str
) -> list[tuple[int, int]]:
    """Height and width of the images that each layer gets and the last returns."""
    sides = [(height, width)]
    for number, layer in enumerate(layers, 1):
        height, width = sides[-1]
        if layer == "pool" and min(height, width) < 2:
            raise InputError(
                f"layer {number} of {len(layers)} of the analytic kernel {name} is "
                f"2x2 average pooling, and its input is {height}x{width}; use images "
                "of at least twice that size, or an architecture with less pooling"
            )
        if layer == "pool":
            height, width = height // 2, width // 2
        sides.append((1, 1) if layer == "global" else (height, width))
    return sides


def _before(layer: Layer, after: Axis, side: int) -> Axis:
    """What a layer must get along one axis, for what it is to return."""
    first, last = after.first, after.last
    if layer == "pool":
        first, last = 2 * first - 1, 2 * last + 1
    if layer == "global":
        first, last = 1 - side, side - 1
    if last - first > side:  # as many as there are, counted from 0
        first, last = 0, side
    return Axis(side, first, last)


def windows(field: Array, grid: Grid) -> Array:
    """What stands at the second pixel of each pair: [h,w,...] to [h,w,...,i,j]."""
    for place, axis in enumerate(grid):
        if axis.count == 1:
            field = field[..., None]
            continue
        field = jnp.moveaxis(field, place, 0)
        field = jnp.concatenate([field, jnp.zeros_like(field[:1])])
        # Of a repeated cycle, rows one longer than it begin one further each.
        period = axis.side + 1
        length = axis.count * (period + 1)
        rolled = jnp.roll(field, -axis.first, 0)
        tiled = jnp.tile(rolled, (-(-length // period),) + (1,) * (field.ndim - 1))
        rows = tiled[:length].reshape(axis.count, period + 1, *field.shape[1:])
        field = jnp.moveaxis(rows[:, : axis.side], (0, 1), (-1, place))
    return field


def products(x1: Array, x2: Array, grid: Grid) -> Array:
    """x1 [h,w,n,c] times x2 [h,w,m,c], mean over channels, as [h,w,n,m,i,j]."""
    precision = jax.lax.Precision.HIGHEST
    if grid.size == 1:  # what XLA would copy and transpose images for
        out = jnp.matmul(x1[0, 0], x2[0, 0].T, precision=precision)
        return out[None, None, :, :, None, None] / x1.shape[-1]
    second = windows(x2, grid)
    out = jnp.einsum("hwnc,hwmcij->hwnmij", x1, second, precision=precision)
    return out / x1.shape[-1]


def products_of_same(x: Array, grid: Grid) -> Array:
    """`products` of each image with itself: x [h,w,n,c] to [h,w,n,1,i,j]."""
    if grid.rows.count == grid.columns.count == 1:
        return jnp.mean(x * x, axis=3)[..., None, None, None]
    first = x[..., None, None]
    return jnp.mean(first * windows(x, grid), axis=3)[:, :, :, None]


def centre(pairs: Array, grid: Grid) -> Array:
    """Pairs of a pixel with itself: [h,w,n,1,i,j] to [h,w,n]."""
    return pairs[:, :, :, 0, -grid.rows.first, -grid.columns.first]


def box(pairs: Array) -> Array:
    """Means over 3x3 moves of both pixels, [h,w,n,m,i,j]; 0 beyond either image."""
    for place in (0, 1):
        window, padding = [1] * 6, [(0, 0)] * 6
        window[place], padding[place] = 3, (1, 1)
        pairs = jax.lax.reduce_window(pairs, 0.0, jax.lax.add, window, [1] * 6, padding)
    return pairs / 9


def average(pairs: Array, before: Grid, after: Grid) -> Array:
    """Means over 2x2 pixels of both images: [h,w,n,m,i,j] on the coarser grid."""
    for place in (0, 1):
        pairs = _pooled(pairs, before[place], after[place], place)
    return pairs


def _pooled(pairs: Array, before: Axis, after: Axis, place: int) -> Array:
    """`average` along one axis."""
    period = before.side + 1
    # Once around the coarser cycle may be one more than once around the finer one.
    rest = (2 * (after.side + 1)) % period if after.first == 0 < after.last else 0
    first, last = 2 * after.first - 1 - rest, 2 * after.last + 1
    where = (np.arange(first, last + 1) - before.first) % period
    if len(where) != before.count or where[0]:
        pairs = jnp.take(pairs, where, axis=place + 4)

    def part(pixel: int, other: int, begin: int) -> Array:
        """One of two pixels of the first image, and one of the second."""
        begin += 1 + other - pixel
        end = begin + 2 * after.count - 1
        cut = jax.lax.slice_in_dim(pairs, pixel, 2 * after.side, 2, axis=place)
        return jax.lax.slice_in_dim(cut, begin, end, 2, axis=place + 4)

    def total(begin: int) -> Array:
        """The mean of the four, the first of their offsets at this place."""
        first = part(0, 0, begin) + part(0, 1, begin)
        return (first + part(1, 0, begin) + part(1, 1, begin)) / 4

    if after.count == 1:
        return total(0)
    partner = np.arange(after.side)[:, None] + np.arange(after.first, after.last + 1)
    shape = [1] * 6
    shape[place], shape[place + 4] = partner.shape
    partner = partner.reshape(shape)
    out = total(0)
    if rest:
        out = jnp.where(partner > after.side, out, total(rest))
    return jnp.where(partner % (after.side + 1) == after.side, 0, out)


def mean(pairs: Array, grid: Grid) -> Array:
    """The mean over all pairs of pixels that are kept: [h,w,n,m,i,j] to 1s."""
    count = 1
    for axis in grid:
        count *= axis.side if axis.count == 1 else axis.side**2
    return jnp.sum(pairs, (0, 1, 4, 5), keepdims=True) / count
