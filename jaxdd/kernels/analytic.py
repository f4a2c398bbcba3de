"""NTK and NNGP of infinitely wide networks, by recursion over their layers.

NTK parameterisation (Jacot et al., NeurIPS 2018); convolutions as in Novak et al., ICLR
2019, and Arora et al., NeurIPS 2019. Exact: no width, no sampling.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdd.base import Array
from jaxdd.errors import InputError
from jaxdd.kernels import pixel_pairs
from jaxdd.kernels.activations import ACTIVATIONS, Activation, Pair
from jaxdd.kernels.architectures import Layer, layers
from jaxdd.kernels.kernel import Kernel
from jaxdd.kernels.pixel_pairs import Grid
from jaxdd.records import Fc, WideKernel

__all__ = ["kernel"]

# Numbers of one array of a block of pairs; what is above a processor's cache is slower.
_BLOCK = 2**20

Scales = tuple[Array, ...]


class _Network(NamedTuple):
    """Layers, and the constants of those with weights."""

    layers: tuple[Layer, ...]
    activation: Activation
    weight: float
    bias: float


def kernel(spec: WideKernel, image_shape: tuple[int, int, int]) -> Kernel:
    """The kernel of the infinitely wide network that `spec` describes.

    Pairs of pixels are kept only where a later pooling layer mixes them. Pairs of
    images are computed in blocks, and again for the gradient, so that memory is that
    of a block, of about 2^20 pairs of pixels.

    Args:
      spec: a valid one.
      image_shape: (h, w, c).

    Returns:
      The kernel, from float32 or float64 images to their dtype.

    Raises:
      InputError: a layer that these images are too small for;
        from the kernel, images of another size.
    """
    network = _Network(
        layers(spec.architecture),
        ACTIVATIONS[spec.activation],
        spec.weight_std**2,
        spec.bias_std**2,
    )
    flat = isinstance(spec.architecture, Fc)
    height, width = (1, 1) if flat else image_shape[:2]
    grids = pixel_pairs.plan(network.layers, height, width, spec.architecture.name)
    depth = len(network.layers) - network.layers[::-1].index("activation")
    inner = network._replace(layers=network.layers[:depth])
    own = pixel_pairs.plan(inner.layers, height, width, spec.architecture.name)
    tangent = spec.name == "ntk"
    scales = lambda x: _scales(inner, own, x)
    cross = lambda *sides: _cross(network, grids, tangent, *sides)
    largest = max(grid.size for grid in grids)

    def evaluate(x1: Array, x2: Array, variables: tuple = ()) -> Array:
        del variables
        sides = []
        for x in (x1, x2):
            if math.prod(x.shape[1:]) != math.prod(image_shape):
                raise InputError(
                    f"the kernel is for images of shape {image_shape}, and got an "
                    f"array {x.shape}; make it with kernels.named(spec, {x.shape[1:]})"
                )
            x = x.reshape(len(x), height, width, -1)
            x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
            sides.append((x, scales(x)))
        return _in_blocks(cross, sides[0], sides[1], largest)

    return evaluate


def _cross(
    network: _Network, grids: list[Grid], tangent: bool, left: tuple, right: tuple
) -> Array:
    """The kernel [n,m] of images and their scales."""
    (x1, scales1), (x2, scales2) = left, right
    x1, x2 = (jnp.moveaxis(x, 0, 2) for x in (x1, x2))
    pair: Pair = pixel_pairs.products(x1, x2, grids[0]), None
    waiting = list(zip(scales1, scales2, strict=True))
    for layer, (before, after) in zip(network.layers, pairwise(grids), strict=True):
        if layer == "activation":
            scale1, scale2 = (jnp.moveaxis(s, 0, 2) for s in waiting.pop(0))
            scale2 = pixel_pairs.windows(scale2, before)[:, :, None]
            scale1 = scale1[:, :, :, None, None, None]
            # Without a barrier, what reads a value in several places computes it there.
            pair = jax.lax.optimization_barrier(
                network.activation.pair(pair, scale1, scale2)
            )
        else:
            pair = _linear(network, layer, pair, before, after, tangent)
    covariance, slope = pair
    return (covariance if slope is None else slope)[0, 0, :, :, 0, 0]


def _linear(
    network: _Network,
    layer: Layer,
    pair: Pair,
    before: Grid,
    after: Grid,
    tangent: bool,
) -> Pair:
    """A layer without activation; dense and conv have weights and biases."""
    apply: dict[Layer, Callable[[Array], Array]] = {
        "pool": lambda value: pixel_pairs.average(value, before, after),
        "conv": lambda value: pixel_pairs.box(value),
        "dense": lambda value: pixel_pairs.mean(value, before),
        "global": lambda value: pixel_pairs.mean(value, before),
    }
    covariance, slope = (None if v is None else apply[layer](v) for v in pair)
    assert covariance is not None
    if layer in ("pool", "global"):
        return covariance, slope
    covariance = network.weight * covariance + network.bias
    if not tangent:
        return covariance, None
    first = slope is None
    return covariance, covariance if first else network.weight * slope + covariance


def _scales(network: _Network, grids: list[Grid], x: Array) -> Scales:
    """What each activation needs of the images' own variances, each [n,h,w].

    The recursion for pairs of an image with itself, with fewer pairs of pixels: the
    variances of a layer depend on those that earlier poolings mix into them.
    """
    x = jnp.moveaxis(x, 0, 2)
    value = pixel_pairs.products_of_same(x, grids[0])
    scales = []
    for layer, (before, after) in zip(network.layers, pairwise(grids), strict=True):
        if layer != "activation":
            value, _ = _linear(network, layer, (value, None), before, after, False)
            continue
        variance = pixel_pairs.centre(value, before)
        scale = network.activation.scale(variance)
        scales.append(jnp.moveaxis(scale, 2, 0))
        if before.rows.count == before.columns.count == 1:
            value = network.activation.variance(value)
            continue
        second = pixel_pairs.windows(scale, before)[:, :, :, None]
        first = scale[:, :, :, None, None, None]
        value, _ = network.activation.pair((value, None), first, second)
    return tuple(scales)


def _in_blocks(
    function: Callable[[tuple, tuple], Array], left: tuple, right: tuple, size: int
) -> Array:
    """`function(left, right)` [n,m] of leading axes n and m, a block at a time."""
    (rows, columns), pairs = (len(x) for x, _ in (left, right)), max(1, _BLOCK // size)
    if rows * columns <= pairs:
        return function(left, right)
    width = -(-columns // -(-columns // min(columns, pairs)))
    height = max(1, min(rows, pairs // width))
    left, right = _blocks(left, height), _blocks(right, width)
    # The loops already keep the second computation apart from the first.
    body = jax.checkpoint(function, prevent_cse=False)
    line = lambda one: jax.lax.map(lambda other: body(one, other), right)
    out = jax.lax.map(line, left)
    return out.transpose(0, 2, 1, 3).reshape(-1, out.shape[1] * out.shape[3])[
        :rows, :columns
    ]


def _blocks(tree: tuple, length: int) -> tuple:
    """Leaves [n,...] as [blocks,length,...], filled up with the last row."""

    def split(leaf: Array) -> Array:
        missing = -len(leaf) % length
        leaf = jnp.pad(leaf, [(0, missing)] + [(0, 0)] * (leaf.ndim - 1), mode="edge")
        return leaf.reshape(-1, length, *leaf.shape[1:])

    return jax.tree.map(split, tree)
