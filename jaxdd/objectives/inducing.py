"""The collapsed variational bound of sparse Gaussian-process regression."""

import math

import jax
import jax.numpy as jnp

from jaxdd.base import Array

__all__ = ["collapsed_bound"]


def collapsed_bound(
    k_mm: Array,
    k_mn: Array,
    diagonal: Array,
    target: Array,
    noise: Array,
    weight: Array,
    *,
    jitter: float = 1e-6,
) -> tuple[Array, Array]:
    """A lower bound of the log marginal likelihood, by inducing points.

    `log N(y; 0, Q + s^2 I) - tr(K - Q) / (2 s^2)` with `Q = K_nm K_mm^-1 K_mn`, summed
    over the outputs, which share kernel and noise (Titsias, AISTATS 2009). Equal to the
    likelihood where the inducing points are the data. Costs n m^2; everything that is
    factored but K_mm has eigenvalues of at least 1.

    Args:
      k_mm: kernel of the inducing points [m,m].
      k_mn: with the data [m,n].
      diagonal: k(x,x) of the data [n].
      target: [n,k].
      noise: s^2 [], above 0.
      weight: [n]: how often each row counts; 0 = padding.
      jitter: added to K_mm, in units of its mean eigenvalue.

    Returns:
      the bound [], and the posterior mean at the inducing points [m,k].
    """
    size, outputs = len(k_mm), target.shape[1]
    root = jnp.sqrt(weight)
    shift = jitter * jnp.trace(k_mm) / size
    lower = jnp.linalg.cholesky(k_mm + shift * jnp.eye(size, dtype=k_mm.dtype))
    scaled = _solved(lower, k_mn * root[None]) / jnp.sqrt(noise)
    inner = jnp.linalg.cholesky(_dot(scaled, scaled.T) + jnp.eye(size))
    rows = target * root[:, None]
    seen = _solved(inner, _dot(scaled, rows)) / jnp.sqrt(noise)
    count = jnp.sum(weight)
    entropy = count * (math.log(2 * math.pi) + jnp.log(noise)) / 2
    entropy = entropy + jnp.sum(jnp.log(jnp.diagonal(inner)))
    missed = jnp.sum(weight * diagonal) / noise - jnp.sum(jnp.square(scaled))
    misfit = jnp.sum(jnp.square(rows)) / noise - jnp.sum(jnp.square(seen))
    bound = -outputs * (entropy + missed / 2) - misfit / 2
    back = jax.scipy.linalg.solve_triangular(inner, seen, lower=True, trans="T")
    return bound, _dot(lower, back)


def _solved(lower: Array, right: Array) -> Array:
    return jax.scipy.linalg.solve_triangular(lower, right, lower=True)


def _dot(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
