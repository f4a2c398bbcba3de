"""Training along smooth trajectories: the damped loss and gradient penalty of AST."""

from functools import lru_cache
from typing import Literal

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Key, Metrics, Network, PyTree, Variables
from jaxdd.training import Loss, losses
from jaxdd.training.batches import Source, Weighted

__all__ = ["damped", "smooth_loss", "smooth_source"]


@lru_cache
def smooth_source(
    augmented: Source, plain: Source, epoch_steps: int, damping: float, epochs: int
) -> Source:
    """Batches for `smooth_loss`.

    Args:
      augmented: what the cross-entropy sees.
      plain: the same rows before augmentation.
      epoch_steps: steps of an epoch.
      damping: factor of the loss in the first epoch.
      epochs: that are damped.

    Returns:
      A source: ((augmented, plain), (classes [n], factor [n])), the latter weighted
      where a batch may be partial.
    """

    def source(key: Key, step: Array, data: PyTree) -> tuple[PyTree, PyTree]:
        image, targets = augmented(key, step, data)
        before, _ = plain(key, step, data)
        factor = damped(step // epoch_steps, damping, epochs)
        weighted = isinstance(targets, Weighted)
        label = targets.target if weighted else targets
        pair = label, jnp.full(label.shape[:1], factor)
        return (image, before), Weighted(pair, targets.weight) if weighted else pair

    return source


def damped(epoch: Array, damping: float, epochs: int) -> Array:
    """The factor of the loss in an epoch: from `damping` on a line to 1, then 1."""
    if epochs == 0:
        return jnp.ones(())
    return damping + (1 - damping) * jnp.minimum(epoch / epochs, 1.0)


@lru_cache
def smooth_loss(penalty: float, norm: Literal["pixel", "image"]) -> Loss:
    """Damped cross-entropy and a penalty of the network's slope, a mean over rows.

    factor CE(augmented) + penalty mean (|d/dx sum of logits| - 1)^2, the latter on
    images before augmentation. Shen et al., "Efficient Dataset Distillation through
    Alignment with Smooth and High-Quality Expert Trajectories" (2023).

    Args:
      penalty: its weight.
      norm: over the channels of each pixel, or over each image.

    Returns:
      A loss for batches of `smooth_source`.
    """

    def loss(
        network: Network,
        variables: Variables,
        ema: PyTree,
        images: PyTree,
        targets: PyTree,
        key: Key,
    ) -> tuple[Array, tuple[Variables, Metrics]]:
        del ema
        weighted = isinstance(targets, Weighted)
        weight = targets.weight if weighted else None
        label, factor = targets.target if weighted else targets
        output, after = network.apply(variables, images[0], train=True, key=key)
        value = factor[0] * losses.cross_entropy(output.logits, label, weight)
        if penalty:
            rows = _penalties(network, variables, images[1], key, norm)
            value += penalty * losses.weighted_mean(rows, weight)
        return value, (after, {})

    return loss


def _penalties(
    network: Network,
    variables: Variables,
    image: Array,
    key: Key,
    norm: Literal["pixel", "image"],
) -> Array:
    """Of each image [n]."""

    def summed(image: Array) -> Array:
        return jnp.sum(network.apply(variables, image, train=True, key=key)[0].logits)

    axes = (3,) if norm == "pixel" else (1, 2, 3)
    square = jnp.sum(jax.grad(summed)(image) ** 2, axes, keepdims=True)
    # The root has no derivative where no path leads to the logits.
    flat = square == 0
    size = jnp.where(flat, 0.0, jnp.sqrt(jnp.where(flat, 1.0, square)))
    return jnp.mean((size - 1) ** 2, (1, 2, 3))
