"""What an activation f does to the covariances of an infinitely wide layer.

For u, v jointly normal with variances k1, k2 and covariance K: E f(u) f(v) is the next
covariance, and E f'(u) f'(v) the factor of the neural tangent kernel. ReLU's are the
arc-cosine kernels (Cho and Saul, NeurIPS 2009, equations 6 and 7).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import Array

__all__ = ["ACTIVATIONS", "Activation", "Pair"]

Pair = tuple[Array, Array | None]
"""Covariance and tangent kernel of pairs; None where only the covariance is wanted."""


class Activation(NamedTuple):
    """An activation as functions of variances and covariances.

    `scale(variance)` prepares what `pair` needs of each side; `pair(covariance and
    tangent, scale1, scale2)` broadcasts the scales against the pairs; `variance` maps
    the variances themselves.
    """

    scale: Callable[[Array], Array]
    pair: Callable[[Pair, Array, Array], Pair]
    variance: Callable[[Array], Array]


# Minimax coefficients of arccos(x) / sqrt(1 - x) on [0, 1], error 2e-8 (Abramowitz and
# Stegun, 4.4.46).
_ARCCOS = (
    1.5707963050,
    -0.2145988016,
    0.0889789874,
    -0.0501743046,
    0.0308918810,
    -0.0170881256,
    0.0066700901,
    -0.0012624911,
)


def _relu_scale(variance: Array) -> Array:
    """Standard deviations, with derivative 0 instead of infinity at 0."""
    empty = variance <= 0
    return jnp.where(empty, 0, jnp.sqrt(jnp.where(empty, 1, variance)))


@jax.custom_jvp
def _relu_pair(pair: Pair, scale1: Array, scale2: Array) -> Pair:
    """Arc-cosine kernels of order 1 and 0.

    The second has no derivative where the cosine is 1 or -1, as at equal images: its
    one-sided derivatives differ. There it is taken to be 0, the mean of the two.
    """
    covariance, tangent = pair
    cosine, sine, slope = _angles(covariance, scale1, scale2)
    del cosine
    out = scale1 * scale2 * sine / (2 * np.pi) + slope * covariance
    return out, None if tangent is None else slope * tangent


@_relu_pair.defjvp
def _relu_pair_jvp(primals: tuple, tangents: tuple) -> tuple[Pair, Pair]:
    """Closed-form derivative, finite everywhere."""
    (covariance, tangent), scale1, scale2 = primals
    (d_covariance, d_tangent), d_scale1, d_scale2 = tangents
    cosine, sine, slope = _angles(covariance, scale1, scale2)
    product = scale1 * scale2
    d_product = scale1 * d_scale2 + d_scale1 * scale2
    sine = sine / (2 * np.pi)
    out = product * sine + slope * covariance
    d_out = slope * d_covariance + sine * d_product
    if tangent is None:
        return (out, None), (d_out, None)
    bend = product * sine * (2 * np.pi) ** 2
    limit = 8 * jnp.finfo(bend.dtype).eps
    flat = (1 - jnp.abs(cosine) <= limit) | (product <= 0)
    bend = jnp.where(flat, 0, tangent / jnp.where(flat, 1, bend))
    d_slope = bend * (d_covariance - cosine * d_product)
    return (out, slope * tangent), (d_out, slope * d_tangent + d_slope)


def _angles(
    covariance: Array, scale1: Array, scale2: Array
) -> tuple[Array, Array, Array]:
    """Cosine (clipped), sine and (pi - angle) / 2 pi; 0 where a side is zero."""
    cosine = covariance * (_inverse(scale1) * _inverse(scale2))
    cosine = jnp.clip(cosine, -1, 1)
    size = jnp.abs(cosine)
    sine = jnp.sqrt((1 - size) * (1 + size))
    if cosine.dtype == jnp.float64:
        share = jnp.arccos(size) / (2 * np.pi)
    else:  # XLA's own arccos takes a hundred times as long on a CPU
        series = jnp.full_like(size, _ARCCOS[-1] / (2 * np.pi))
        for value in _ARCCOS[-2::-1]:
            series = series * size + value / (2 * np.pi)
        share = jnp.sqrt(1 - size) * series
    slope = jnp.where(cosine < 0, share, 0.5 - share)
    return cosine, sine, jnp.where(scale1 * scale2 > 0, slope, 0)


def _inverse(scale: Array) -> Array:
    """1 / scale, 0 where it is 0."""
    return jnp.where(scale > 0, 1 / jnp.where(scale > 0, scale, 1), 0)


def _erf_pair(pair: Pair, scale1: Array, scale2: Array) -> Pair:
    """Kernels of the error function (Williams, NeurIPS 1996, equation 11)."""
    covariance, tangent = pair
    inverse = _inverse(scale1) * _inverse(scale2)
    limit = 1 - jnp.finfo(covariance.dtype).eps
    ratio = jnp.clip(2 * covariance * inverse, -limit, limit)
    out = 2 / np.pi * jnp.arcsin(ratio)
    if tangent is None:
        return out, None
    slope = 4 / np.pi * inverse / jnp.sqrt((1 - ratio) * (1 + ratio))
    return out, slope * tangent


def _erf_variance(variance: Array) -> Array:
    """E erf(u)^2."""
    return 2 / np.pi * jnp.arcsin(2 * variance / (1 + 2 * variance))


ACTIVATIONS = {
    "relu": Activation(_relu_scale, _relu_pair, lambda variance: variance / 2),
    "erf": Activation(lambda k: jnp.sqrt(1 + 2 * k), _erf_pair, _erf_variance),
}
"""By the names of `KernelSpec.activation`."""
