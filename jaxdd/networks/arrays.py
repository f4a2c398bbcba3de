"""Array operations that the CPU convolutions share."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxdd.base import Array

__all__ = ["alike", "pad"]

Margin = tuple[int, int]


def pad(image: Array, rows: Margin, columns: Margin) -> Array:
    """Zero pixels around [n,h,w,c], so many before and after each axis.

    Columns and channels are padded as one axis: XLA's CPU code tests every element
    against the borders of every padded axis, and this is 4 times faster.
    """
    if not any((*rows, *columns)):
        return image
    batch, height, width, channels = image.shape
    flat = image.reshape(batch, height, width * channels)
    before, after = columns
    flat = jnp.pad(flat, ((0, 0), rows, (before * channels, after * channels)))
    return flat.reshape(batch, height + sum(rows), width + before + after, channels)


def alike(*arrays: Array) -> list[Array]:
    """Marks all arrays as varying over the same `shard_map` axes.

    A custom derivative must return cotangents with the axes of its arguments, and a
    loop what it was given; the transpose of this marking sums them over devices where
    an argument was replicated.
    """
    axes = [jax.typeof(array).manual_axis_type.varying for array in arrays]
    everything = frozenset().union(*axes)
    return [
        lax.pcast(array, tuple(everything - own), to="varying")
        if everything - own
        else array
        for array, own in zip(arrays, axes, strict=True)
    ]
