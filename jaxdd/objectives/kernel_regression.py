"""Regression with any kernel from the synthetic set to the classes of real images.

For kernels of infinitely wide networks (KIP) and random features of finite ones (RFAD).
"""

from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
from jax import lax

from jaxdd.base import Array, Assets, Batch, Key, Metrics, Network, Objective, Synthetic
from jaxdd.errors import one_of
from jaxdd.kernels import Kernel
from jaxdd.kernels.feature import chunked
from jaxdd.kernels.precision import dot
from jaxdd.kernels.random_features import feature_map
from jaxdd.kernels.ridge import Ridge, fit, predict
from jaxdd.members import shares
from jaxdd.training.losses import (
    centred_one_hot,
    cross_entropy,
    mean_squared_error,
    weighted_mean,
)

__all__ = [
    "KernelPair",
    "flat_rows",
    "kernel_blocks",
    "kernel_regression",
    "random_feature_blocks",
]

KernelPair = Callable[[Array, Array, Any], tuple[Array, Array]]
"""(synthetic [m,h,w,c], real [n,h,w,c], variables) -> kernels [m,m] and [n,m]."""


def kernel_regression(
    pair: KernelPair,
    ridge: Ridge,
    num_classes: int,
    *,
    loss: Literal["mse", "platt"] = "mse",
    refine: int = 1,
) -> Objective:
    """Loss on real images of the kernel regression fitted to the synthetic set.

    P = K_ts (K_ss + lam I)^-1 Y_s; `mse`: half the mean over rows and classes of
    (P - Y_t)^2 with centred one-hot Y_t (Nguyen et al., ICLR 2021, arXiv 2011.00050);
    `platt`: cross-entropy of exp(s) P with a learned number s (Loo et al., NeurIPS
    2022, arXiv 2210.12067). Real images are constants; nothing is drawn at random.

    Args:
      pair: makes the two kernels, see `kernel_blocks` and `random_feature_blocks`.
      ridge: the regularisation.
      num_classes: k.
      loss: of the predictions; `platt` reads s from `Synthetic.hyper["log_scale"]`.
      refine: see `jaxdd.kernels.ridge.fit`.

    Returns:
      the objective, of class-balanced or plain batches, weighed by `batch.weight`, and
      of sets with classes, which count as centred rows, or targets [m,k]. It reports
      loss, accuracy, ridge (as used), retries and condition (see `SolveInfo`).

    Raises:
      InputError: an unknown loss.
    """
    one_of("distill.loss", loss, ("mse", "platt"))

    def objective(
        synthetic: Synthetic, batch: Batch, variables: Any, assets: Assets, key: Key
    ) -> tuple[Array, Metrics]:
        del assets, key
        image, label, weight = flat_rows(batch)
        k_ss, k_ts = pair(
            synthetic.image,
            lax.stop_gradient(image),
            lax.stop_gradient(variables),
        )
        target = _centred(synthetic.target, num_classes, k_ss.dtype)
        alpha, info = fit(k_ss, target, ridge, refine=refine)
        output = predict(k_ts, alpha)
        if loss == "mse":
            real = _centred(label, num_classes, output.dtype)
            value = mean_squared_error(output, real, weight) / 2
        else:
            scale = jnp.exp(synthetic.hyper["log_scale"])
            value = cross_entropy(scale * output, label, weight)
        right = jnp.argmax(output, 1) == label
        return value, {
            "loss": value,
            "accuracy": weighted_mean(right.astype(value.dtype), weight),
            "ridge": info.ridge,
            "retries": info.retries,
            "condition": info.condition,
        }

    return objective


def kernel_blocks(kernel: Kernel, rows: int | None = None) -> KernelPair:
    """The two kernels, that of the real images by blocks of rows.

    Args:
      kernel: any.
      rows: at most this many real images at a time, computed again for the gradient
        (exact, the memory of one block); None = all.

    Returns:
      The blocks; the synthetic one exactly symmetric.
    """

    def blocks(synthetic: Array, real: Array, variables: Any) -> tuple[Array, Array]:
        own = kernel(synthetic, synthetic, variables)

        def block(some: Array) -> Array:
            return kernel(some, synthetic, variables)

        return (own + own.T) / 2, chunked(block, real, rows)

    return blocks


def random_feature_blocks(
    network: Network,
    *,
    shift: float = 0.01,
    chunk_synthetic: int | None = None,
    chunk_real: int | None = None,
) -> KernelPair:
    """Kernels 2 phi.phi' + shift of the features of several networks.

    Both use one pass over the synthetic images; the real ones' features, constants, are
    not computed again for the gradient.

    Args:
      network: of every member; the variables are theirs, stacked.
      shift: added to every entry, the bias variance of a last layer.
      chunk_synthetic: at most this many synthetic images at a time (exact; None = all).
      chunk_real: the same for real images.
    """

    def blocks(synthetic: Array, real: Array, variables: Any) -> tuple[Array, Array]:
        f_s = feature_map(
            network, variables, synthetic, shift=shift, chunk=chunk_synthetic
        )
        f_t = lax.stop_gradient(
            feature_map(network, variables, real, shift=shift, chunk=chunk_real)
        )
        return dot(f_s, f_s.T), dot(f_t, f_s.T)

    return blocks


def flat_rows(batch: Batch) -> tuple[Array, Array, Array]:
    """Images [n,h,w,c], labels [n], weights [n] of a batch, class-balanced or not."""
    label: Any = batch.target
    if batch.image.ndim == 4:
        return batch.image, label, batch.weight

    # Where a class's rows are split over devices, their axis comes first; elsewhere a
    # copy of all images in that order would cost as much as a product with them.
    spread = shares() > 1

    def flat(leaf: Array) -> Array:
        ordered = leaf.swapaxes(0, 1) if spread else leaf
        return ordered.reshape(-1, *leaf.shape[2:])

    return flat(batch.image), flat(label), flat(batch.weight)


def _centred(target: Array, num_classes: int, dtype: Any) -> Array:
    """Rows [n,k]: classes as e_y - 1/k, others as they are."""
    if jnp.issubdtype(target.dtype, jnp.integer):
        return centred_one_hot(target, num_classes, dtype)
    return target
