"""Normalisation layers that agree with PyTorch and are fast on CPU.

Statistics are computed in at least float32, from sums of x and x^2 in one pass. Both
sums are taken after subtracting one pixel, which cancels exactly in mean, variance and
all derivatives, and keeps the digits that E[x^2] - E[x]^2 loses. Scale and offset are
folded into one multiplication and one addition per pixel.
"""

from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp
from jax import lax

from jaxdd.base import Array
from jaxdd.networks.initialisers import weight_dtype

__all__ = ["EPSILON", "BatchNorm", "Kind", "SampleNorm", "normalise"]

EPSILON = 1e-5  # PyTorch's default; Flax's is 1e-6
GROUPS = 4  # of "group", as in the networks of Zhao and Bilen (2021)
Kind = Literal["none", "batch", "instance", "group", "layer"]
_STATISTICS = "batch_stats"


class SampleNorm(nn.Module):
    """Instance, group or layer normalisation of [n,h,w,c], with affine parameters.

    instance: over the pixels of each channel. group: over pixels and channels of each
    of four groups. layer: over everything, with one scale and bias per element, as
    `torch.nn.LayerNorm([c,h,w])`.
    """

    kind: Literal["instance", "group", "layer"]
    scale_init: Any = nn.initializers.ones

    @nn.compact
    def __call__(self, image: Array) -> Array:
        channels = image.shape[-1]
        shape = image.shape[1:] if self.kind == "layer" else (channels,)
        dtype = weight_dtype()
        scale = self.param("scale", self.scale_init, shape, dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, dtype)
        if self.kind == "instance":
            return _transform(image, *_moments(image, (1, 2)), scale, bias)
        groups = GROUPS if self.kind == "group" else 1
        split = image.reshape(*image.shape[:3], groups, channels // groups)
        mean, variance = (
            jnp.repeat(moment[..., 0], channels // groups, -1)
            for moment in _moments(split, (1, 2, 4))
        )
        return _transform(image, mean, variance, scale, bias)


class BatchNorm(nn.Module):
    """Batch normalisation of [n,h,w,c]; running statistics as PyTorch keeps them.

    `momentum` is the weight of the old statistic (1 - PyTorch's). The batch is
    normalised with the biased variance, the running variance is unbiased, or `biased`
    as Flax has it.
    """

    momentum: float = 0.9
    scale_init: Any = nn.initializers.ones
    biased: bool = False

    @nn.compact
    def __call__(self, image: Array, train: bool = False) -> Array:
        shape = image.shape[-1:]
        dtype = weight_dtype()
        scale = self.param("scale", self.scale_init, shape, dtype)
        bias = self.param("bias", nn.initializers.zeros, shape, dtype)
        running_mean = self.variable(_STATISTICS, "mean", jnp.zeros, shape, dtype)
        running_variance = self.variable(_STATISTICS, "var", jnp.ones, shape, dtype)
        if not train:
            moments = running_mean.value, running_variance.value
            mean, variance = (moment[None, None, None] for moment in moments)
            return _transform(image, mean, variance, scale, bias)
        mean, variance = _moments(image, (0, 1, 2))
        if not self.is_initializing():
            count = image.size // image.shape[-1]
            factor = 1.0 if self.biased else count / max(count - 1, 1)
            self._update(running_mean, mean)
            self._update(running_variance, variance * factor)
        return _transform(image, mean, variance, scale, bias)

    def _update(self, running: nn.Variable, batch: Array) -> None:
        """Moves a running statistic towards the batch's."""
        old = running.value
        new = lax.stop_gradient(batch.reshape(old.shape)).astype(old.dtype)
        running.value = self.momentum * old + (1 - self.momentum) * new


def normalise(
    image: Array,
    kind: Kind,
    name: str,
    *,
    train: bool,
    momentum: float,
    scale_init: Any = nn.initializers.ones,
    biased: bool = False,
) -> Array:
    """Applies the named normalisation as a submodule `name` of the calling module.

    `biased` is that of `BatchNorm`.
    """
    if kind == "none":
        return image
    if kind == "batch":
        return BatchNorm(momentum, scale_init, biased, name=name)(image, train)
    return SampleNorm(kind, scale_init, name=name)(image)


def _moments(image: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Mean and biased variance over `axes`, kept as axes of length one."""
    image = image.astype(jnp.promote_types(image.dtype, jnp.float32))
    first = tuple(slice(0, 1) if a in axes else slice(None) for a in range(image.ndim))
    shift = lax.stop_gradient(image[first])
    moved = image - shift
    mean = moved.mean(axes, keepdims=True)
    variance = (moved * moved).mean(axes, keepdims=True) - mean * mean
    # Rounding may leave a constant map slightly below zero; `where` keeps the
    # derivative at exactly zero, which `maximum` would halve.
    return mean + shift, jnp.where(variance < 0, 0, variance)


def _transform(
    image: Array, mean: Array, variance: Array, scale: Array, bias: Array
) -> Array:
    """(image - mean) / sqrt(variance + epsilon) * scale + bias, as one scale and shift.

    Returns the input's precision; the arithmetic is that of the statistics.
    """
    affine = (1,) * (image.ndim - scale.ndim)
    slope = lax.rsqrt(variance + EPSILON) * scale.reshape(affine + scale.shape)
    offset = bias.reshape(affine + bias.shape) - mean * slope
    return (image.astype(slope.dtype) * slope + offset).astype(image.dtype)
