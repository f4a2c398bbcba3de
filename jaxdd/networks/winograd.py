"""3x3 convolution of wide maps with a quarter of the multiplications, for CPU.

Winograd's minimal filtering F(4x4, 3x3) (Lavin and Gray, 2016): tiles of 6x6 pixels and
the kernel are transformed so that convolving becomes one matrix product for each of 36
positions. The transforms are passes over memory, so a few images at a time go through
all of them while they lie in the cache.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxdd.base import Array
from jaxdd.networks.arrays import alike, pad

__all__ = ["correlate", "correlate_pays", "gradient_pays", "kernel_gradient"]

_OUT, _TAPS = 4, 3  # side of an output tile, of the kernel
_IN = _OUT + _TAPS - 1
# With these the float32 error is 2 to 3 times that of the direct sum; with the
# customary 0, +-1, +-2 it is 12 times.
_POINTS = (0, Fraction(3, 4), -Fraction(3, 4), Fraction(3, 2), -Fraction(3, 2))
# Measured limits. XLA's convolution is close to the processor's peak, its kernel
# gradient far from it, so that the detour pays sooner there.
_MIN_PRODUCT = {"correlate": 64 * 128, "gradient": 32 * 32}  # of the channels
_MAX_COST = {"correlate": 0.4, "gradient": 0.5}  # share of the direct multiplications
_MIN_CHANNELS = 32
_MIN_TILES = 64  # below, transforming the kernel costs more than it saves
_MIN_WORK = 1 << 20  # tiles times channels; below, starting so many passes does
_BLOCK_BYTES = 2 << 20  # of transformed tiles: about one core's second-level cache


def correlate_pays(image: Array, kernel: Array, padding: int) -> bool:
    """Whether `correlate` is faster than XLA's convolution (static)."""
    size, _, *channels = kernel.shape
    return _pays("correlate", image, size, channels, padding)


def gradient_pays(image: Array, gradient: Array, padding: int, size: int) -> bool:
    """Whether `kernel_gradient` is faster than direct products (static)."""
    channels = image.shape[-1], gradient.shape[-1]
    return _pays("gradient", image, size, channels, padding)


def correlate(image: Array, kernel: Array, padding: int) -> Array:
    """The stride-1 convolution of [n,h,w,c] with [3,3,c,o]; no derivative rule."""
    batch, *sides, channels = image.shape
    height, width = _outer(sides, padding)
    outputs = kernel.shape[-1]
    positions = _kernel_positions(kernel)
    tile_bytes = _IN**2 * max(channels, outputs) * image.dtype.itemsize
    size = _block(batch, _BLOCK_BYTES / tile_bytes / _tiles(sides, padding))
    if size == batch:
        return _correlate_block(image, positions, padding)

    images, blocks = _in_blocks(image, size), batch // size

    def fill(index: Array, whole: Array) -> Array:
        part = lax.dynamic_index_in_dim(images, index, 1, keepdims=False)
        part = _correlate_block(part, positions, padding)
        return lax.dynamic_update_index_in_dim(whole, part, index, 1)

    # Not `lax.map`, whose stacking copies the result once more.
    whole = jnp.zeros((size, blocks, height, width, outputs), positions.dtype)
    whole = lax.fori_loop(0, blocks, fill, alike(whole, image, positions)[0])
    return whole.reshape(batch, height, width, outputs)


def kernel_gradient(image: Array, gradient: Array, padding: int) -> Array:
    """Derivative of <gradient, correlate(image, kernel)> by the kernel, [3,3,c,o]."""
    batch, *sides, channels = image.shape
    outputs, tiles = gradient.shape[-1], _tiles(sides, padding)
    tile_bytes = _IN**2 * (channels + outputs) * image.dtype.itemsize
    # Every block also reads and writes the sums [36,shares,o,c].
    least = 2 * channels * outputs / (channels + outputs)
    size = _block(batch, max(_BLOCK_BYTES / tile_bytes, least) / tiles)

    wholes = _in_blocks(image, size), _in_blocks(gradient, size)

    def part(index: int | Array) -> Array:
        image_part, gradient_part = (
            lax.dynamic_index_in_dim(whole, index, 1, keepdims=False)
            for whole in wholes
        )
        return _gradient_block(image_part, gradient_part, padding)

    if size == batch:
        positions = _gradient_block(image, gradient, padding)
    else:
        zeros = jnp.zeros((_IN**2, _shares(batch), outputs, channels), image.dtype)
        positions = lax.fori_loop(
            0,
            batch // size,
            lambda index, total: total + part(index),
            alike(zeros, image, gradient)[0],
        )
    positions = positions.swapaxes(2, 3).reshape(_IN, _IN, -1, channels, outputs)
    return jnp.sum(_both_ways(_KERNEL.T, positions), 2)


def _pays(
    what: str, image: Array, size: int, channels: Sequence[int], padding: int
) -> bool:
    """What both directions ask of the shapes."""
    wide = prod(channels) >= _MIN_PRODUCT[what] and min(channels) >= _MIN_CHANNELS
    if size != _TAPS or not wide or jnp.finfo(image.dtype).bits < 32:
        return False
    batch, *sides, _ = image.shape
    tiles = _tiles(sides, padding)
    cost = tiles * _IN**2 / (_TAPS**2 * prod(_outer(sides, padding)))
    enough = tiles * batch >= _MIN_TILES and tiles * batch * prod(channels) >= _MIN_WORK
    return enough and cost <= _MAX_COST[what]


def _outer(sides: Sequence[int], padding: int) -> list[int]:
    """Height and width of the result."""
    return [side + 2 * padding - _TAPS + 1 for side in sides]


def _counts(sides: Sequence[int], padding: int) -> list[int]:
    """Rows and columns of tiles."""
    return [-(-side // _OUT) for side in _outer(sides, padding)]


def _tiles(sides: Sequence[int], padding: int) -> int:
    """Tiles of an image."""
    return prod(_counts(sides, padding))


def _block(batch: int, wanted: float) -> int:
    """The divisor of the batch nearest, in ratio, to so many images a device."""
    shares = _shares(batch)
    sizes = range(shares, batch + 1, shares)
    divisors = [size for size in sizes if batch % size == 0]
    return min(divisors, key=lambda size: abs(math.log(size / shares / wanted)))


def _shares(batch: int) -> int:
    """Into how many parts a batch may be split over devices.

    What is summed over images is summed within a share first, and sent once, at the
    end, as the small kernel; else every block's sum would be.
    """
    around = jax.sharding.get_abstract_mesh()
    if around.empty:
        return math.gcd(batch, jax.device_count())
    # Inside `shard_map`: each device has all of the batch along the axes it maps over.
    return math.gcd(batch, prod(around.shape[name] for name in around.auto_axes))


def _in_blocks(image: Array, size: int) -> Array:
    """[n,...] as [size, blocks, ...].

    A block holds images far apart, some from the share of each device over which the
    batch may be split: neighbours would lie on one, and be sent to all.
    """
    return image.reshape(size, -1, *image.shape[1:])


def _correlate_block(image: Array, positions: Array, padding: int) -> Array:
    """`correlate` of a few images with the transformed kernel [36,c,o]."""
    batch, *sides, _ = image.shape
    rows, columns = _counts(sides, padding)
    outputs = positions.shape[-1]
    maps = _image_tiles(image, padding) @ positions
    maps = maps.reshape(_IN, _IN, batch, rows, columns, outputs)
    # Without the barriers XLA computes every sum again inside the next ones.
    half = lax.optimization_barrier(_combine(_INVERSE, list(maps)))
    pixels = [_combine(_INVERSE, list(column)) for column in half]
    pixels = lax.optimization_barrier(pixels)
    lines = [jnp.stack(line, 3) for line in zip(*pixels, strict=True)]
    whole = jnp.stack(lines, 2).reshape(batch, _OUT * rows, _OUT * columns, outputs)
    height, width = _outer(sides, padding)
    return whole[:, :height, :width]


def _gradient_block(image: Array, gradient: Array, padding: int) -> Array:
    """The sums over a few images of the transformed derivative, [36,shares,o,c]."""
    contract = (((2,), (2,)), ((0, 1), (0, 1)))
    tiles = [
        part.reshape(_IN**2, _shares(image.shape[0]), -1, part.shape[-1])
        for part in (_image_tiles(image, padding), _gradient_tiles(gradient))
    ]
    return lax.dot_general(tiles[1], tiles[0], contract)


def _image_tiles(image: Array, padding: int) -> Array:
    """Overlapping 6x6 tiles, transformed: [36, n * tiles, c]."""
    _, *sides, channels = image.shape
    counts = _counts(sides, padding)
    margins = [
        (padding, _OUT * count + _TAPS - 1 - side - padding)
        for count, side in zip(counts, sides, strict=True)
    ]
    tiles = _transformed(pad(image, *margins), counts, _IMAGE)
    return tiles.reshape(_IN**2, -1, channels)


def _gradient_tiles(gradient: Array) -> Array:
    """Disjoint 4x4 tiles, spread by the transposed inverse: [36, n * tiles, o]."""
    _, *sides, outputs = gradient.shape
    counts = [-(-side // _OUT) for side in sides]
    margins = [
        (0, _OUT * count - side) for count, side in zip(counts, sides, strict=True)
    ]
    tiles = _transformed(pad(gradient, *margins), counts, _INVERSE.T)
    return tiles.reshape(_IN**2, -1, outputs)


def _transformed(padded: Array, counts: Sequence[int], matrix: np.ndarray) -> Array:
    """Transforms the columns and rows of tiles 4 pixels apart: [6,6,n,rows,columns,c].

    The first axis numbers positions along the width, the second along the height.
    """
    for axis, count in zip((1, 3), counts, strict=True):
        padded = lax.optimization_barrier(padded)
        parts = [
            lax.slice_in_dim(padded, i, i + _OUT * (count - 1) + 1, _OUT, axis)
            for i in range(matrix.shape[1])
        ]
        padded = jnp.stack(_combine(matrix, parts))
    return padded


def _kernel_positions(kernel: Array) -> Array:
    """The transformed kernel, [36,c,o]."""
    return _both_ways(_KERNEL, kernel).reshape(_IN**2, *kernel.shape[2:])


def _both_ways(matrix: np.ndarray, square: Array) -> Array:
    """The matrix applied along both of two axes, which change places."""
    lines = [square[:, i] for i in range(square.shape[1])]
    half = jnp.stack(_combine(matrix, lines))
    lines = [half[:, i] for i in range(half.shape[1])]
    return jnp.stack(_combine(matrix, lines), 1)


def _combine(matrix: np.ndarray, parts: Sequence[Array]) -> list[Array]:
    """Every row of the matrix applied to the parts, without its zeros.

    Written out, XLA fuses each row into one pass; as a matrix product it is slower.
    """
    sums = []
    for row in matrix:
        terms = [
            part if weight == 1 else part * weight.astype(part.dtype)
            for weight, part in zip(row, parts, strict=True)
            if weight
        ]
        sums.append(sum(terms[1:], terms[0]))
    return sums


def _transforms() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cook and Toom's matrices for the image, the kernel and the way back.

    A polynomial product is found from its values at five points and at infinity; the
    transpose of that algorithm is the correlation.
    """
    points = [Fraction(p) for p in _POINTS]
    others = [[q for q in points if q != p] for p in points]
    image = [[*_with_roots(rest), Fraction(0)] for rest in others]
    image.append(_with_roots(points))
    scale = [prod(p - q for q in rest) for p, rest in zip(points, others, strict=True)]
    kernel = [
        [p**j / s for j in range(_TAPS)] for p, s in zip(points, scale, strict=True)
    ]
    kernel.append([Fraction(j == _TAPS - 1) for j in range(_TAPS)])
    inverse = [[p**i for p in points] + [Fraction(i == _OUT - 1)] for i in range(_OUT)]
    image, kernel, inverse = (np.array(m, np.float64) for m in (image, kernel, inverse))
    return image, kernel, inverse


def _with_roots(roots: Sequence[Fraction]) -> list[Fraction]:
    """Coefficients, lowest first, of the monic polynomial with these roots."""
    coefficients = [Fraction(1)]
    for root in roots:
        shifted, scaled = [Fraction(0), *coefficients], [*coefficients, Fraction(0)]
        coefficients = [a - root * b for a, b in zip(shifted, scaled, strict=True)]
    return coefficients


_IMAGE, _KERNEL, _INVERSE = _transforms()
