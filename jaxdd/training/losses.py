"""Losses that optax lacks, or that need weights on rows.

All of them compute in at least float32, whatever the precision of the networks.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from jaxdd.base import Array

__all__ = [
    "barlow_twins",
    "byol",
    "centred_one_hot",
    "cross_entropy",
    "half_squared_error",
    "kl",
    "mean_squared_error",
    "nt_xent",
    "soft_cross_entropy",
    "vicreg",
    "weighted_mean",
]

_VARIANCE_FLOOR = 1e-5  # epsilon of the batch standardisation, as in batch norm
_DEVIATION_FLOOR = 1e-4  # epsilon under VICReg's square root
_NORM_FLOOR = 1e-12  # least norm that is divided by


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


def half_squared_error(
    prediction: Array, target: Array, weight: Array | None = None
) -> Array:
    """Half of the squared difference, summed over outputs and averaged over rows.

    k / 2 times `mean_squared_error` [n,k], as FRePo's losses are.

    Returns:
      Scalar.
    """
    error = _wide(prediction) - _wide(target)
    return weighted_mean(jnp.sum(error**2, axis=-1) / 2, weight)


def centred_one_hot(label: Array, classes: int, dtype: Any = float) -> Array:
    """e_y - 1/k, the targets of kernel regression on classes.

    Args:
      label: int [n]. classes: k. dtype: of the result.

    Returns:
      [n,k].
    """
    return jax.nn.one_hot(label, classes, dtype=dtype) - 1 / classes


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


def soft_cross_entropy(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    *,
    temperature: float = 1.0,
) -> Array:
    """Cross-entropy against soft labels that are given as logits.

    -sum_c softmax(target / T)_c log softmax(logits / T)_c, averaged over rows.

    Args:
      logits: [n,k].
      target: float [n,k], logits too, as the soft labels of DATM and DD-Ranking's SCE.
      weight: [n], or None for equal rows.
      temperature: T.

    Returns:
      Scalar.
    """
    share = jax.nn.softmax(_wide(target) / temperature, axis=-1)
    rows = optax.softmax_cross_entropy(_wide(logits) / temperature, share)
    return weighted_mean(rows, weight)


def kl(
    logits: Array,
    target: Array,
    weight: Array | None = None,
    *,
    temperature: float = 1.0,
) -> Array:
    """Kullback-Leibler divergence of the softened outputs from softened targets.

    KL(softmax(target / T) || softmax(logits / T)), averaged over rows, without the
    factor T^2.

    Args:
      logits: [n,k].
      target: float [n,k], logits of a teacher.
      weight: [n], or None for equal rows.
      temperature: T.

    Returns:
      Scalar; 0 where both agree up to a constant (Hinton et al. 2015, arXiv
      1503.02531; DD-Ranking's KL).
    """
    share = jax.nn.log_softmax(_wide(target) / temperature, axis=-1)
    rows = optax.losses.kl_divergence_with_log_targets(
        jax.nn.log_softmax(_wide(logits) / temperature, axis=-1), share
    )
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


def nt_xent(first: Array, second: Array, *, temperature: float = 0.2) -> Array:
    """Normalised cross-entropy of finding each view's partner among all others.

    With u the 2n rows of both views at unit length, row i with partner p(i):
    mean_i of -log(exp(u_i.u_p(i) / T) / sum_{j != i} exp(u_i.u_j / T)). Unlike
    `optax.losses.ntxent`, which forms [2n,2n,d], it takes memory for [2n,2n].

    Args:
      first: [n,d], projections of one view.
      second: [n,d], of the other view of the same images.
      temperature: T.

    Returns:
      Scalar; 0 for a single pair, log(2n-1) where all rows are equal (Chen et al.
      2020, "SimCLR", arXiv 2002.05709, equation 1).
    """
    rows = first.shape[0]
    unit = _unit(jnp.concatenate([_wide(first), _wide(second)]))
    cosine = jnp.matmul(unit, unit.T, precision="highest")
    others = jnp.where(jnp.eye(2 * rows, dtype=bool), -jnp.inf, cosine / temperature)
    return cross_entropy(others, jnp.roll(jnp.arange(2 * rows), rows))


def vicreg(
    first: Array,
    second: Array,
    *,
    invariance: float = 25.0,
    variance: float = 25.0,
    covariance: float = 1.0,
) -> Array:
    """Equal views whose dimensions vary and do not covary.

    invariance * mean((z - z')^2) + variance * sum_views mean_j max(0, 1 -
    sqrt(Var_j + 1e-4)) + covariance * sum_views sum_{i != j} Cov_ij^2 / d, with
    variances and covariances over n - 1.

    Args:
      first: [n,d], projections of one view, n at least 2.
      second: [n,d], of the other view of the same images.
      invariance: weight of the difference.
      variance: weight of the hinge on the deviations. The authors' program halves the
        sum over the views; half the weight says the same.
      covariance: weight of the covariances.

    Returns:
      Scalar (Bardes et al. 2022, "VICReg", arXiv 2105.04906, equations 1 to 6).
    """
    views = _wide(first), _wide(second)
    value = invariance * mean_squared_error(*views)
    for z in views:
        centred = z - jnp.mean(z, axis=0, keepdims=True)
        spread = jnp.sum(centred**2, axis=0) / (z.shape[0] - 1)
        hinge = jnp.maximum(0.0, 1.0 - jnp.sqrt(spread + _DEVIATION_FLOOR))
        moments = jnp.matmul(centred.T, centred, precision="highest")
        moments = moments / (z.shape[0] - 1)
        off = jnp.where(jnp.eye(z.shape[1], dtype=bool), 0.0, moments**2)
        value += variance * jnp.mean(hinge) + covariance * jnp.sum(off) / z.shape[1]
    return value


def byol(prediction: Array, target: Array) -> Array:
    """Mean over rows of 2 - 2 cos(prediction, target), without gradient to `target`.

    Args:
      prediction: [n,d], of the trained network with its predictor, on one view.
      target: [n,d], of the averaged network on the other view.

    Returns:
      Scalar in [0, 4]; the whole loss is the sum over both directions (Grill et al.
      2020, "BYOL", arXiv 2006.07733, equation 2).
    """
    unit = _unit(_wide(prediction)), _unit(jax.lax.stop_gradient(_wide(target)))
    return jnp.mean(2.0 - 2.0 * jnp.sum(unit[0] * unit[1], axis=-1))


def _unit(z: Array) -> Array:
    """Rows at length one; a row of zeros stays zero, with a finite derivative."""
    square = jnp.sum(z**2, axis=-1, keepdims=True)
    return z / jnp.sqrt(jnp.maximum(square, _NORM_FLOOR**2))


def _standardise(z: Array) -> Array:
    mean = jnp.mean(z, axis=0, keepdims=True)
    variance = jnp.var(z, axis=0, keepdims=True)
    return (z - mean) / jnp.sqrt(variance + _VARIANCE_FLOOR)


def _wide(value: Array) -> Array:
    return value.astype(jnp.promote_types(value.dtype, jnp.float32))
