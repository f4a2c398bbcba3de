"""Where images and soft labels start: real images, and what experts say of them."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import whiten
from jaxdd.base import Array, Corpus, ExpertsAsset, Key
from jaxdd.errors import InputError
from jaxdd.select import class_means_of_shares, k_center_rows, kmeans_rows, random_rows
from jaxdd.select.random import class_called

__all__ = ["EXPERT_STARTS", "STARTS", "Logits", "Start", "first_images", "soft_labels"]

Start = Literal["real", "noise", "class_mean", "kmeans", "k_center"]
STARTS = ("real", "noise", "class_mean", "kmeans", "k_center")
EXPERT_STARTS = ("representative", "correct")

Logits = Callable[[Array, Array], Array]
"""An expert's logits, `(parameters [p], image [n,h,w,c]) -> [n,k]`."""

_BLOCK = 1024  # real images forwarded at a time


def first_images(
    start: str,
    key: Key,
    corpus: Corpus,
    size: int,
    ipc: int | None,
    experts: tuple[ExpertsAsset, Logits] | None = None,
) -> tuple[Array, Array | None]:
    """The images that a set starts from.

    Args:
      start: `real` takes random images; `kmeans` those nearest to the centres of
        clusters of pixels, `representative` of the first expert's logits (AST);
        `k_center` images far from each other; `correct` random images that the first
        expert classifies correctly, then the next ones (DATM); `class_mean` the mean
        of each class, or with several images a class of random equal shares of it;
        `noise` standard normal pixels.
      key: of every draw.
      corpus: the training images.
      size: m.
      ipc: images of each class, or None for sets without labels.
      experts: what the two starts that ask experts need.

    Returns:
      Whitened images [m,h,w,c], class-major, and their rows in the corpus [m], None for
      class means. Noise has the rows of `real`.

    Raises:
      InputError: a class has too few images, or too few that any expert gets right.
    """
    key_rows, key_noise = jax.random.split(key)
    if start == "class_mean":
        return class_means_of_shares(key_rows, corpus, ipc).image, None
    rows = _rows(start, key_rows, corpus, size, ipc, experts)
    white = whiten.apply(corpus.whitening, whiten.to_unit(corpus.image[rows]))
    if start == "noise":
        white = jax.random.normal(key_noise, white.shape, white.dtype)
    return white, rows


def _rows(
    start: str,
    key: Key,
    corpus: Corpus,
    size: int,
    ipc: int | None,
    experts: tuple[ExpertsAsset, Logits] | None,
) -> Array:
    if start == "kmeans":
        return kmeans_rows(key, corpus, size, ipc)
    if start == "k_center":
        return k_center_rows(corpus, size, ipc)
    if start not in EXPERT_STARTS:
        return random_rows(key, corpus, size, ipc)
    assert experts is not None
    assert ipc is not None
    asset, judge = experts
    if start == "correct":
        return _correct_rows(key, corpus, ipc, asset.last, judge)
    logits = _logits_of_all(judge, asset.last[0], corpus)
    return kmeans_rows(key, corpus, size, ipc, logits)


def _correct_rows(
    key: Key, corpus: Corpus, ipc: int, last: Array, judge: Logits
) -> Array:
    """Random rows of each class, those that the earliest experts get right first."""
    label = np.asarray(corpus.label)
    order = np.asarray(jax.random.permutation(key, corpus.size))
    # The number of the first expert that is right; `len(last)` where none is.
    first = np.full(corpus.size, len(last))
    for number, vector in enumerate(last):
        right = _logits_of_all(judge, vector, corpus).argmax(1) == label
        first = np.where(right & (first == len(last)), number, first)
        known = np.bincount(label[first < len(last)], minlength=corpus.num_classes)
        if known.min() >= ipc:
            break
    else:
        worst = int(known.argmin())
        raise InputError(
            f"init='correct': the experts classify only {known[worst]} images of "
            f"{class_called(corpus, worst)} correctly and ipc={ipc} asks for {ipc}; "
            "train the experts longer, or choose init='real'"
        )
    ranked = order[np.argsort(first[order], kind="stable")]
    chosen = [ranked[label[ranked] == c][:ipc] for c in range(corpus.num_classes)]
    return jnp.asarray(np.concatenate(chosen).astype(np.int32))


def _logits_of_all(judge: Logits, vector: Array, corpus: Corpus) -> np.ndarray:
    """One expert's logits of all real images, un-augmented, on the host [n,k]."""
    run = jax.jit(judge)
    size, block = corpus.size, min(_BLOCK, corpus.size)
    parts = []
    for at in range(0, size, block):
        rows = jnp.minimum(jnp.arange(at, at + block), size - 1)
        unit = whiten.to_unit(corpus.image[rows])
        parts.append(np.asarray(run(vector, whiten.apply(corpus.whitening, unit))))
    return np.concatenate(parts)[:size]


def soft_labels(
    judge: Logits,
    asset: ExpertsAsset,
    image: Array,
    label: Array,
    kind: Literal["average", "first"],
) -> Array:
    """Logits [m,k] with which learned labels start.

    Args:
      judge: applies an expert.
      asset: the experts, as they are at the end of their training.
      image: whitened and un-augmented, [m,h,w,c].
      label: int [m].
      kind: `average` over the experts that classify the image correctly, over all of
        them where none does (the authors' code divides by zero there); `first`: the
        first expert's.

    Returns:
      At least float32 (Guo et al. 2024, "Towards Lossless Dataset Distillation via
      Difficulty-Aligned Trajectory Matching", arXiv 2310.05773).
    """
    if kind == "first":
        return jax.jit(judge)(asset.last[0], image)
    return _average(judge)(asset.last, image, label)


def _average(judge: Logits) -> Callable[[Array, Array, Array], Array]:
    @jax.jit
    def run(last: Array, image: Array, label: Array) -> Array:
        def one(sums: tuple, vector: Array) -> tuple[tuple, None]:
            logits = judge(vector, image)
            right = (jnp.argmax(logits, 1) == label)[:, None].astype(logits.dtype)
            correct, count, every = sums
            return (correct + right * logits, count + right, every + logits), None

        shape = jax.eval_shape(judge, last[0], image)
        zero = jnp.zeros(shape.shape, shape.dtype)
        start = zero, zero[:, :1], zero
        (correct, count, every), _ = jax.lax.scan(one, start, last)
        mean = correct / jnp.maximum(count, 1)
        return jnp.where(count > 0, mean, every / len(last))

    return run
