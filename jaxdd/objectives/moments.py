"""Matching class-wise statistics of two sets, the core of distribution matching.

The statistics here are means over samples, so both sides are accumulated in chunks:
the real side without gradient, the synthetic side by two passes (sums first, then the
vector-Jacobian product of one chunk at a time). Memory is that of one chunk.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from jaxdd.base import (
    Array,
    Assets,
    Augment,
    Batch,
    Key,
    Metrics,
    Network,
    Objective,
    Synthetic,
    Variables,
)

__all__ = ["class_means", "mean_features", "squared_distance"]

Statistic = Callable[[Array], Array]


def mean_features(
    network: Network,
    *,
    augment: Augment | None = None,
    chunk_real: int | None = None,
    chunk_synthetic: int | None = None,
    joint: bool = False,
) -> Objective:
    """Sum over classes of the squared distance between mean features.

    loss = sum_c || mean_{x in T_c} f(A_c x) - mean_{s in S_c} f(A_c s) ||^2, with f the
    flattened input of the last layer and one draw A_c of the augmentation per class,
    shared by all its images, real and synthetic (Zhao and Bilen, arXiv 2110.04181,
    equation 4). Only the synthetic images are differentiated.

    Args:
      network: what embeds the images.
      augment: random operations, sampled once per class; None for none.
      chunk_real: real images forwarded at a time; None = all. Their activations are
        never stored.
      chunk_synthetic: synthetic images whose activations are held at a time; None =
        all. With a chunk the forward pass runs twice, and memory does not grow with
        the number of images.
      joint: forward all classes together in training mode, real and synthetic
        separately, for networks with batch norm (whose statistics are then those of
        the whole batch). Chunks are ignored: the images depend on each other.

    Returns:
      The objective; it takes the synthetic set in class-major order [k*ipc,...] and a
      class-balanced batch [k,n,...], and reports `loss`.
    """

    def objective(
        synthetic: Synthetic,
        batch: Batch,
        variables: Variables,
        assets: Assets,
        key: Key,
    ) -> tuple[Array, Metrics]:
        del assets
        classes = batch.image.shape[0]
        fake = synthetic.image.reshape(classes, -1, *synthetic.image.shape[1:])
        real, weight = batch.image, batch.weight
        if joint:
            real, weight = jax.vmap(_without_padding)(real, weight)
        if augment is not None:
            real, fake = _siamese(augment, key, real, fake)

        def embed(image: Array) -> Array:
            output, _ = network.apply(variables, image, train=joint)
            return output.features

        target = class_means(embed, real, weight, None if joint else chunk_real)
        mean = class_means(
            embed,
            fake,
            synthetic.weight.reshape(classes, -1),
            None if joint else chunk_synthetic,
        )
        loss = squared_distance(jax.lax.stop_gradient(target), mean)
        return loss, {"loss": loss}

    return objective


def squared_distance(target: Array, mean: Array) -> Array:
    """Sum over classes and features of (target - mean)^2, arrays [k,d]."""
    return jnp.sum(jnp.square(target - mean))


def class_means(
    statistic: Statistic, image: Array, weight: Array, chunk: int | None = None
) -> Array:
    """Weighted mean of a per-image statistic in every class, chunk by chunk.

    A chunk takes images from all over the classes. Under reverse-mode differentiation
    only the images are kept, and each chunk is forwarded again when its gradient is
    due: exact, one more forward pass, memory O(chunk).

    Args:
      statistic: [n,h,w,c] -> [n,d], each row from its own image (or chunk is None).
      image: [k,n,h,w,c].
      weight: [k,n]; rows with weight 0 do not count.
      chunk: images at a time; None = all at once.

    Returns:
      [k,d], at least float32.
    """
    classes, count = image.shape[:2]
    # The images of a class may be split over devices, and stay where they are only if
    # the axis along which they are comes first.
    flat = image.swapaxes(0, 1).reshape(count * classes, *image.shape[2:])
    share = weight / jnp.sum(weight, axis=1, keepdims=True)
    # Row i of `shares` holds image i's share in the mean of each class [n*k,k].
    shares = share.T[..., None] * jnp.eye(classes, dtype=share.dtype)[None]
    shares = shares.reshape(count * classes, classes)

    def part(rows: Array, rows_shares: Array) -> Array:
        features = statistic(rows)
        features = features.astype(jnp.promote_types(features.dtype, jnp.float32))
        return jnp.einsum(
            "nk,nd->kd",
            rows_shares.astype(features.dtype),
            features,
            precision=jax.lax.Precision.HIGHEST,
        )

    if chunk is None or chunk >= len(flat):
        return part(flat, shares)
    chunk = _fitting(len(flat), chunk)
    # Padding repeats an image, on which any statistic is finite, with share 0.
    blocks = _blocks(flat, chunk, "edge"), _blocks(shares, chunk, "constant")
    shape = jax.eval_shape(part, *(b[0] for b in blocks))
    # The barrier of `prevent_cse` is not needed inside a loop and costs fusions.
    body = jax.checkpoint(part, prevent_cse=False)
    total, _ = jax.lax.scan(
        lambda carry, block: (carry + body(*block), None),
        jnp.zeros(shape.shape, shape.dtype),
        blocks,
    )
    return total


def _siamese(
    augment: Augment, key: Key, real: Array, fake: Array
) -> tuple[Array, Array]:
    """One draw per class, applied to all its images on both sides [k,n,...]."""

    def one(parts: tuple[Key, Array, Array]) -> tuple[Array, Array]:
        key, *sides = parts
        params = augment.sample(key, 1)
        real, fake = (augment.apply(params, side) for side in sides)
        return real, fake

    # In turn: under vmap a choice between operations would compute all of them, which
    # is five to ten times as slow on a CPU.
    return jax.lax.map(one, (jax.random.split(key, real.shape[0]), real, fake))


def _fitting(count: int, chunk: int) -> int:
    """A chunk that leaves no rest, if there is one not much smaller than asked for.

    Padding moves rows that are split over devices.
    """
    fitting = [
        size for size in range(chunk // 2, chunk + 1) if size and not count % size
    ]
    return max(fitting, default=chunk)


def _blocks(rows: Array, chunk: int, mode: Literal["edge", "constant"]) -> Array:
    """Rows [n,...] as [blocks,chunk,...], padded; a block's rows lie far apart.

    Where rows are split over devices, every device has its share of each block.
    """
    missing = -len(rows) % chunk
    padded = jnp.pad(rows, ((0, missing),) + ((0, 0),) * (rows.ndim - 1), mode)
    return padded.reshape(chunk, -1, *rows.shape[1:]).swapaxes(0, 1)


def _without_padding(image: Array, weight: Array) -> tuple[Array, Array]:
    """A class [n,...] with its padding replaced by its own images in turn.

    Batch norm would otherwise take its statistics over the padding too. The replaced
    rows move to the end and keep weight 0.
    """
    real_first = jnp.argsort(weight == 0, stable=True)
    place = jnp.arange(len(weight)) % jnp.maximum(jnp.sum(weight > 0), 1)
    return image[real_first[place]], weight[real_first]
