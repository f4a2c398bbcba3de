"""Kernel ridge regression from the synthetic set to the targets of real images.

The last layer is solved in closed form, so no inner training is unrolled.
"""

from collections.abc import Callable

import chex
import jax.numpy as jnp
from jax import lax

from jaxdd.base import (
    Array,
    Assets,
    Batch,
    Key,
    Metrics,
    Network,
    Objective,
    Synthetic,
    TeacherAsset,
    Variables,
)
from jaxdd.kernels.feature import chunked, features
from jaxdd.kernels.ridge import Ridge, fit_features

__all__ = ["krr_mse"]


def krr_mse(
    network: Network,
    ridge: Ridge,
    *,
    bias: bool = True,
    chunk_synthetic: int | None = None,
    chunk_real: int | None = None,
    teacher: Callable[[TeacherAsset, Array], Array] | None = None,
    refine: int = 1,
) -> Objective:
    """Mean squared error of the regression fitted to the synthetic set.

    `1/(B k) ||F_b F_s^T (F_s F_s^T + lam I)^-1 Y_s - Y_b||^2` over the real batch, for
    features of the drawn network in evaluation mode (Lee et al., ICLR 2024, outer
    objective of KRR-ST; with other ridges and without bias those of FRePo and RFAD).
    The gradient goes to the synthetic images and targets only: real features, real
    targets and the network's weights are constants. The inner problem contains no
    random draw, so for a fixed batch and network the gradient has no variance.

    Args:
      network: gives the features.
      ridge: the regularisation.
      bias: append a constant feature.
      chunk_synthetic: at most this many synthetic images at a time (exact; None = all).
      chunk_real: the same for real images.
      teacher: makes the targets of the real images where the batch has none, from
        `assets["teacher"]`; gets at most `chunk_real` images at a time.
      refine: see `jaxdd.kernels.ridge.fit`.

    Returns:
      the objective. It weighs the rows of the batch by `batch.weight`, and reports
      loss, ridge (as used), retries and condition (see `SolveInfo`).
    """

    def objective(
        synthetic: Synthetic,
        batch: Batch,
        variables: Variables,
        assets: Assets,
        key: Key,
    ) -> tuple[Array, Metrics]:
        del key  # nothing in this objective is random
        frozen = lax.stop_gradient(variables)
        f_s = features(
            network, frozen, synthetic.image, bias=bias, chunk=chunk_synthetic
        )
        f_t = features(network, frozen, batch.image, bias=bias, chunk=chunk_real)
        target = _targets(batch, assets, teacher, chunk_real)
        predict, info = fit_features(f_s, synthetic.target, ridge, refine=refine)
        error = predict(lax.stop_gradient(f_t)) - lax.stop_gradient(target)
        loss = _weighted_mean(jnp.square(error), batch.weight)
        report = {
            "ridge": info.ridge,
            "retries": info.retries,
            "condition": info.condition,
        }
        return loss, {"loss": loss, **report}

    return objective


def _targets(
    batch: Batch,
    assets: Assets,
    teacher: Callable[[TeacherAsset, Array], Array] | None,
    chunk: int | None,
) -> Array:
    """The targets [n,k] of the real images: the batch's own, or the teacher's."""
    if batch.target is not None:
        chex.assert_rank(batch.target, 2)
        return batch.target
    if teacher is None:
        raise ValueError("the batch has no targets and the objective has no teacher")
    asset = assets["teacher"]
    return chunked(lambda image: teacher(asset, image), batch.image, chunk)


def _weighted_mean(value: Array, weight: Array) -> Array:
    """The mean of [n,k] over both axes, rows weighted by [n]."""
    return jnp.sum(value * weight[:, None]) / (jnp.sum(weight) * value.shape[1])
