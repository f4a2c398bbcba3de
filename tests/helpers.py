"""Toy data and numerical checks shared by the tests."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import Corpus
from jaxdd.whiten import Whitening


def identity_whitening() -> Whitening:
    """A whitening that leaves [0,1] pixels as they are."""
    return Whitening(None, None, None, None, None, "none")


def toy_images(
    seed: int = 0,
    per_class: int = 12,
    classes: int = 4,
    side: int = 8,
    channels: int = 1,
) -> tuple[np.ndarray, np.ndarray]:
    """Separable uint8 images [n,side,side,channels] (one bright quadrant a class)."""
    rng = np.random.default_rng(seed)
    label = np.repeat(np.arange(classes), per_class)
    image = rng.integers(0, 90, (len(label), side, side, channels))
    half = side // 2
    for row, c in enumerate(label):
        top, left = half * (c // 2 % 2), half * (c % 2)
        image[row, top : top + half, left : left + half] += 120 + 10 * (c // 4)
    order = rng.permutation(len(label))
    return image[order].astype(np.uint8), label[order].astype(np.int32)


def toy_corpus(**options: Any) -> Corpus:
    """The toy images as a corpus without whitening."""
    image, label = toy_images(**options)
    classes = int(label.max()) + 1
    rows = [np.flatnonzero(label == c) for c in range(classes)]
    index = np.zeros((classes, max(map(len, rows))), np.int32)
    for c, row in enumerate(rows):
        index[c, : len(row)] = row
    return Corpus(
        image=jnp.asarray(image),
        label=jnp.asarray(label),
        class_index=jnp.asarray(index),
        class_count=jnp.asarray([len(r) for r in rows], jnp.int32),
        whitening=identity_whitening(),
        num_classes=classes,
        name="toy",
        hash="toy",
        class_names=tuple(map(str, range(classes))),
    )


def finite_difference(
    f: Callable[[Any], Any],
    tree: Any,
    probes: int = 4,
    eps: float = 1e-5,
    seed: int = 0,
) -> list[tuple[float, float]]:
    """Pairs (central difference, autodiff) along random directions, in float64."""
    both = jax.jit(jax.value_and_grad(f))  # one program for all probes
    gradient = both(tree)[1]
    leaves, structure = jax.tree.flatten(tree)
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(probes):
        way = [jnp.asarray(rng.standard_normal(leaf.shape)) for leaf in leaves]
        plus = structure.unflatten(
            [a + eps * w for a, w in zip(leaves, way, strict=True)]
        )
        minus = structure.unflatten(
            [a - eps * w for a, w in zip(leaves, way, strict=True)]
        )
        slope = (float(both(plus)[0]) - float(both(minus)[0])) / (2 * eps)
        inner = sum(
            float(jnp.vdot(g, w))
            for g, w in zip(jax.tree.leaves(gradient), way, strict=True)
        )
        pairs.append((slope, inner))
    return pairs
