"""Which pairs of pixels of two images a kernel needs, and what layers do to them.

Pooling mixes the covariances of different pixels. A convolution moves both pixels of a
pair alike, so that their offset stays: pairs are stored as [h,w,n,m,i,j], pixel (h,w)
of the first image with pixel (h + i-th, w + j-th offset) of the second, sides taken
cyclically. Behind the last pooling one offset is left, before it as many as it mixes.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import Array, InputError
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
    """One axis of both images: its length, and the offsets from first to last."""

    side: int
    first: int = 0
    last: int = 0

    @property
    def count(self) -> int:
        """How many offsets."""
        return self.last - self.first + 1

    def partner(self) -> np.ndarray:
        """The second image's coordinate [side, count], not taken cyclically."""
        return np.arange(self.side)[:, None] + np.arange(self.first, self.last + 1)


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
    if layer == "global" or last - first + 1 >= side:
        first, last = 0, side - 1
    return Axis(side, first, last)


def windows(field: Array, grid: Grid) -> Array:
    """What stands at the second pixel of each pair: [h,w,...] to [h,w,...,i,j]."""
    for place, axis in enumerate(grid):
        if axis.count > 1:
            field = jnp.moveaxis(field, place, 0)
            # Rows that are one longer than what they repeat begin one further each.
            rolled = jnp.roll(field, -axis.first, 0)
            length = axis.count * (axis.side + 1)
            tiled = jnp.tile(
                rolled, (-(-length // axis.side),) + (1,) * (field.ndim - 1)
            )
            rows = tiled[:length].reshape(axis.count, axis.side + 1, *field.shape[1:])
            field = jnp.moveaxis(rows[:, : axis.side], (0, 1), (-1, place))
        else:
            field = jnp.roll(field, -axis.first, place)[..., None]
    return field


def products(x1: Array, x2: Array, grid: Grid) -> Array:
    """x1 [h,w,n,c] times x2 [h,w,m,c], mean over channels, as [h,w,n,m,i,j]."""
    second = windows(x2, grid)
    precision = jax.lax.Precision.HIGHEST
    out = jnp.einsum("hwnc,hwmcij->hwnmij", x1, second, precision=precision)
    return out / x1.shape[-1]


def products_of_same(x: Array, grid: Grid) -> Array:
    """`products` of each image with itself: x [h,w,n,c] to [h,w,n,1,i,j]."""
    first = x[..., None, None]
    return jnp.mean(first * windows(x, grid), axis=3)[:, :, :, None]


def centre(pairs: Array, grid: Grid) -> Array:
    """Pairs of a pixel with itself: [h,w,n,1,i,j] to [h,w,n]."""
    return pairs[:, :, :, 0, -grid.rows.first, -grid.columns.first]


def box(pairs: Array, grid: Grid) -> Array:
    """Means over 3x3 moves of both pixels, [h,w,n,m,i,j]; 0 beyond either image."""
    for place, axis in enumerate(grid):
        pairs = _moved(pairs, axis, place)
    return pairs / 9


def _moved(pairs: Array, axis: Axis, place: int) -> Array:
    """Sums over moves by -1, 0 and 1 along one axis."""
    ahead, behind = pairs, pairs
    if axis.count > 1:
        partner = axis.partner() % axis.side
        shape = [1] * 6
        shape[place], shape[place + 4] = partner.shape
        last, first = partner == axis.side - 1, partner == 0
        ahead = jnp.where(last.reshape(shape), 0, pairs)
        behind = jnp.where(first.reshape(shape), 0, pairs)
    cut = lambda value, begin, end: jax.lax.slice_in_dim(value, begin, end, axis=place)
    edge = jnp.zeros_like(cut(pairs, 0, 1))
    ahead = jnp.concatenate([edge, cut(ahead, 0, axis.side - 1)], place)
    behind = jnp.concatenate([cut(behind, 1, axis.side), edge], place)
    return pairs + ahead + behind


def average(pairs: Array, before: Grid, after: Grid) -> Array:
    """Means over 2x2 pixels of both images: [h,w,n,m,i,j] on the coarser grid."""
    for place in (0, 1):
        pairs = _pooled(pairs, before[place], after[place], place)
    return pairs


def _pooled(pairs: Array, before: Axis, after: Axis, place: int) -> Array:
    """`average` along one axis."""
    if before.side % 2 and after.count == after.side > 1:
        return _pooled_by_matrix(pairs, before, after, place)
    first, last = 2 * after.first - 1, 2 * after.last + 1
    offsets = np.arange(first, last + 1)
    where = (offsets - before.first) % before.side
    if len(where) != before.count or (where != np.arange(before.count)).any():
        pairs = jnp.take(pairs, where, axis=place + 4)

    def part(pixel: int, other: int) -> Array:
        """Those of one of two pixels of the first image, and one of the second."""
        begin = 1 + other - pixel
        end = begin + 2 * after.count - 1
        cut = jax.lax.slice_in_dim(pairs, pixel, 2 * after.side, 2, axis=place)
        return jax.lax.slice_in_dim(cut, begin, end, 2, axis=place + 4)

    return (part(0, 0) + part(0, 1) + part(1, 0) + part(1, 1)) / 4


def _pooled_by_matrix(pairs: Array, before: Axis, after: Axis, place: int) -> Array:
    """`_pooled` for all pairs of an odd side, whose last pixel is left out."""
    matrix = np.zeros((after.side, after.count, before.side, before.count))
    pixel, offset = np.indices((after.side, after.count))
    other = (pixel + offset) % after.side
    for a in (0, 1):
        for b in (0, 1):
            where = (2 * other + b - 2 * pixel - a) % before.side
            matrix[pixel, offset, 2 * pixel + a, where] = 1 / 4
    letters = ("hwnmij", "PwnmQj") if place == 0 else ("hwnmij", "hPnmiQ")
    inner = "hi" if place == 0 else "wj"
    rule = f"PQ{inner},{letters[0]}->{letters[1]}"
    given = jnp.asarray(matrix, pairs.dtype)
    return jnp.einsum(rule, given, pairs, precision=jax.lax.Precision.HIGHEST)


def mean(pairs: Array) -> Array:
    """The mean of all that is kept for a pair of images: [h,w,n,m,i,j] to 1s."""
    return jnp.mean(pairs, (0, 1, 4, 5), keepdims=True)
