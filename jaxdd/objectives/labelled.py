"""Kernel ridge regression from a labelled synthetic set to the classes of real images.

The supervised relatives of `regression.krr_mse`: FRePo's objective and its margin.
"""

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
    Variables,
)
from jaxdd.kernels.ridge import Ridge
from jaxdd.objectives.regression import krr_mse
from jaxdd.training.losses import centred_one_hot

__all__ = ["centred_targets", "krr_labels", "label_margin", "with_mirrors"]


def krr_labels(
    network: Network,
    ridge: Ridge,
    num_classes: int,
    *,
    mirror: bool = False,
    margin: float = 1.0,
    chunk_synthetic: int | None = None,
    chunk_real: int | None = None,
    refine: int = 1,
) -> Objective:
    """FRePo's outer objective on centred labels.

    `mean_b 1/2 sum_c (P - Y_b)^2 - margin mean_i min(top1 - top2 of Y_s[i], 1/k)` with
    the predictions P of `krr_mse` without bias (Zhou et al., NeurIPS 2022, arXiv
    2206.00719).

    Args:
      network: gives the features.
      ridge: the regularisation, in terms of all rows of the support.
      num_classes: k.
      mirror: the support has the mirror image of every synthetic image as well.
      margin: weight of the labels' margin.
      chunk_synthetic: at most this many synthetic images at a time (exact; None = all).
      chunk_real: the same for real images.
      refine: see `jaxdd.kernels.ridge.fit`.

    Returns:
      the objective, of learned targets [m,k] and batches with classes int [n] or
      targets [n,k]. Metrics: those of `krr_mse`, with the whole `loss`, and `error` and
      `margin`, its two parts.
    """
    regression = krr_mse(
        network,
        ridge,
        bias=False,
        chunk_synthetic=chunk_synthetic,
        chunk_real=chunk_real,
        refine=refine,
    )

    def objective(
        synthetic: Synthetic,
        batch: Batch,
        variables: Variables,
        assets: Assets,
        key: Key,
    ) -> tuple[Array, Metrics]:
        support = with_mirrors(synthetic) if mirror else synthetic
        given = batch._replace(target=centred_targets(batch, num_classes))
        mean, report = regression(support, given, variables, assets, key)
        error = mean * (num_classes / 2)
        held = label_margin(synthetic.target, 1 / num_classes)
        loss = error - margin * held
        return loss, report | {"loss": loss, "error": error, "margin": held}

    return objective


def centred_targets(batch: Batch, num_classes: int) -> Array:
    """The batch's targets [n,k]: its own, or its classes as e_y - 1/k."""
    assert batch.target is not None, "the batch has no targets"
    if jnp.issubdtype(batch.target.dtype, jnp.integer):
        return centred_one_hot(batch.target, num_classes, batch.image.dtype)
    return batch.target


def label_margin(target: Array, most: float) -> Array:
    """Mean over the rows [m,k] of the largest entry less the second, `most` at most.

    Once a row's margin is reached it has no gradient.
    """
    top, _ = lax.top_k(target, 2)
    return jnp.mean(jnp.minimum(top[:, 0] - top[:, 1], most))


def with_mirrors(synthetic: Synthetic) -> Synthetic:
    """2m rows: the images, then their mirror images, with the same targets."""
    image, target, weight = synthetic.image, synthetic.target, synthetic.weight
    return synthetic._replace(
        image=jnp.concatenate([image, image[:, :, ::-1]]),
        target=jnp.concatenate([target, target]),
        weight=jnp.concatenate([weight, weight]),
    )
