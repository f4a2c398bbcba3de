"""Losses that optax lacks, or that need weights on rows.

All of them compute in at least float32, whatever the precision of the networks.
"""

import jax.numpy as jnp
import optax

from jaxdd.base import Array

__all__ = ["barlow_twins", "cross_entropy", "mean_squared_error", "weighted_mean"]

_VARIANCE_FLOOR = 1e-5  # epsilon of the batch standardisation, as in batch norm


def weighted_mean(value: Array, weight: Array | None = None) -> Array:
    """Mean over the rows [n], divided by the sum of `weight` [n] where it is given.

    Returns:
      Scalar; 0 where all weights are 0.
    """
    if weight is None:
        return jnp.mean(value)
    weight = weight.astype(value.dtype)
    total = jnp.sum(weight)
    return jnp.sum(value * weight) / jnp.where(total > 0, total, 1)


def mean_squared_error(
    prediction: Array, target: Array, weight: Array | None = None
) -> Array:
    """Squared difference, averaged over rows and over outputs.

    Args:
      prediction: [n,d].
      target: [n,d].
      weight: [n], or None for equal rows.

    Returns:
      Scalar (KRR-ST averages over both axes: a sum over the outputs would multiply the
      effective learning rate by d).
    """
    error = _wide(prediction) - _wide(target)
    return weighted_mean(jnp.mean(error**2, axis=-1), weight)


def cross_entropy(logits: Array, target: Array, weight: Array | None = None) -> Array:
    """Softmax cross-entropy, averaged over rows.

    Args:
      logits: [n,k].
      target: int [n] classes, or float [n,k] probabilities.
      weight: [n], or None for equal rows.

    Returns:
      Scalar.
    """
    logits = _wide(logits)
    if jnp.issubdtype(target.dtype, jnp.integer):
        rows = optax.softmax_cross_entropy_with_integer_labels(logits, target)
    else:
        rows = optax.softmax_cross_entropy(logits, _wide(target))
    return weighted_mean(rows, weight)


def barlow_twins(
    first: Array, second: Array, *, redundancy: float = 0.0051, scale: float = 1.0
) -> Array:
    """Redundancy reduction between the projections of two views.

    Each dimension is standardised over the batch (biased variance), R is the
    cross-correlation matrix, and the loss is
    scale * (sum_i (R_ii - 1)^2 + redundancy * sum_{i != j} R_ij^2).
    Under jit with rows sharded over devices the statistics are those of the whole
    batch.

    Args:
      first: [n,d], projections of one view.
      second: [n,d], of the other view of the same images.
      redundancy: weight of the off-diagonal terms.
      scale: of the whole loss.

    Returns:
      Scalar (Zbontar et al. 2021, "Barlow Twins", arXiv 2103.03230, equation 1).
    """
    z1, z2 = _standardise(_wide(first)), _standardise(_wide(second))
    correlation = jnp.matmul(z1.T, z2, precision="highest") / z1.shape[0]
    terms = jnp.where(
        jnp.eye(z1.shape[1], dtype=bool),
        (correlation - 1) ** 2,
        redundancy * correlation**2,
    )
    return scale * jnp.sum(terms)


def _standardise(z: Array) -> Array:
    mean = jnp.mean(z, axis=0, keepdims=True)
    variance = jnp.var(z, axis=0, keepdims=True)
    return (z - mean) / jnp.sqrt(variance + _VARIANCE_FLOOR)


def _wide(value: Array) -> Array:
    return value.astype(jnp.promote_types(value.dtype, jnp.float32))
