"""Batches for training from arrays: which rows a step takes, and how it alters them.

A batch is a pure function of a constant key and the step.
"""

import dataclasses
from collections.abc import Callable
from functools import lru_cache, reduce
from operator import mul
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdd import augment
from jaxdd.base import Array, Key, PyTree
from jaxdd.records import AugmentSpec, Recipe
from jaxdd.rng import epoch_batch, epoch_rows

__all__ = [
    "Source",
    "Weighted",
    "altered",
    "array_source",
    "draw_rows",
    "in_steps",
    "mixed",
]

Source = Callable[[Key, Array, PyTree], tuple[PyTree, PyTree]]
"""(key, step, data) -> (images, targets) of a step; the key is constant in a run."""


class Weighted(NamedTuple):
    """Targets with a weight per row, as `supervised` understands them."""

    target: PyTree
    weight: Array  # [n]


def in_steps(recipe: Recipe, size: int) -> Recipe:
    """A recipe that counts epochs, with its `steps` for a set of `size` rows."""
    if not recipe.epochs:
        return recipe
    batch = min(recipe.batch or size, size)
    return dataclasses.replace(recipe, steps=recipe.epochs * -(-size // batch))


def draw_rows(
    recipe: Recipe, key: Key, step: Array, size: int
) -> tuple[Array, Array | None]:
    """The rows of one step, and their weights where a batch may be partial.

    Args:
      recipe: its batch size, and whether it counts epochs.
      key: constant through a run.
      step: int32 [].
      size: rows of the set.

    Returns:
      int32 [b], and float32 [b] or None.
    """
    if recipe.ordered and 0 < recipe.batch < size:
        place = jnp.asarray(step, jnp.int32) % (size // recipe.batch)
        rows = jnp.arange(recipe.batch, dtype=jnp.int32)
        return place * recipe.batch + rows, None
    if recipe.epochs and 0 < recipe.batch < size and size % recipe.batch:
        return epoch_batch(key, step, recipe.batch, size)
    return epoch_rows(key, step, recipe.batch, size), None


@lru_cache
def array_source(recipe: Recipe) -> Source:
    """Batches from arrays: data = (images, targets) or (images, targets, weight).

    The whole set at every step where `recipe.batch` is 0 or not below its size;
    otherwise without replacement within each epoch, where the last, partial batch is
    dropped unless the recipe counts epochs. Images get `recipe.augment`, and its
    mixing, which needs targets [n,k].

    Args:
      recipe: batch size and augmentation.

    Returns:
      The source; with weights its targets are `Weighted`.
    """

    def source(key: Key, step: Array, data: PyTree) -> tuple[PyTree, PyTree]:
        key_rows, key_augment = jax.random.split(key)
        rows, share = draw_rows(recipe, key_rows, step, data[0].shape[0])
        whole = rows.shape[0] == data[0].shape[0]
        images, target, *weights = data if whole else [part[rows] for part in data]
        key_step = jax.random.fold_in(key_augment, step)
        images = altered(recipe.augment, key_step, images)
        images, target = mixed(recipe.augment, key_step, images, target)
        weights = weights if share is None else [*weights, share]
        if not weights:
            return images, target
        return images, Weighted(target, reduce(mul, weights))

    return source


def altered(spec: AugmentSpec, key: Key, images: Array) -> Array:
    """Images [n,h,w,c] after one draw of the operations that `spec` switches on."""
    if augment.is_identity(spec):
        return images
    _, height, width, channels = images.shape
    operations = augment.build(spec, (height, width, channels))
    return operations.apply(operations.sample(key, images.shape[0]), images)


def mixed(
    spec: AugmentSpec, key: Key, images: Array, target: Array
) -> tuple[Array, Array]:
    """Images and targets [n,k] after one draw of the mixing that `spec` asks for."""
    _, height, width, channels = images.shape
    mix = augment.mixing(spec, (height, width, channels))
    if mix is None:
        return images, target
    drawn = mix.sample(jax.random.fold_in(key, 1), images.shape[0])
    return mix.apply(drawn, images, target)
