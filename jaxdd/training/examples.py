"""What a network is trained on, its training, and its outputs on a whole split.

Everything that decides a compiled program is made once per distinct settings and
cached, and arrays are passed as data: all networks of one shape share it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxdd import networks, whiten
from jaxdd.base import Array, Corpus, Drive, Key, Network, PyTree, Synthetic, Variables
from jaxdd.records import NetworkSpec, Recipe
from jaxdd.training import train, trainer
from jaxdd.training.batches import (
    Source,
    Weighted,
    altered,
    array_source,
    draw_rows,
    in_steps,
    mixed,
)

__all__ = [
    "Examples",
    "apply_to_all",
    "examples_of_corpus",
    "examples_of_set",
    "fit",
    "fresh",
    "outputs",
    "student_network",
]


_CHUNK = 256  # images whose activations are held at a time in passes over a split


class Examples(NamedTuple):
    """What a network is trained on, and how."""

    source: Source
    data: PyTree
    recipe: Recipe


def examples_of_set(synthetic: Synthetic, recipe: Recipe) -> Examples:
    """A set as it is stored: its images are in the space that networks consume."""
    recipe = in_steps(recipe, synthetic.image.shape[0])
    data = (synthetic.image, synthetic.target, synthetic.weight)
    return Examples(array_source(recipe), data, recipe)


def examples_of_corpus(corpus: Corpus, target: Array, recipe: Recipe) -> Examples:
    """All real images, with one target row each ([n] classes or [n,d])."""
    recipe = in_steps(recipe, corpus.size)
    data = (corpus.image, target, corpus.whitening)
    return Examples(_corpus_source(recipe), data, recipe)


@lru_cache
def _corpus_source(recipe: Recipe) -> Source:
    """Batches of uint8 images, augmented as [0,1] pixels and then whitened.

    The published policies (`augment.policy`) and mixing act on whitened images, as
    they do on sets.
    """
    named = recipe.augment.policy != "chain"

    def source(key: Key, step: Array, data: PyTree) -> tuple[PyTree, PyTree]:
        image, target, whitening = data
        key_rows, key_augment = jax.random.split(key)
        rows, weight = draw_rows(recipe, key_rows, step, image.shape[0])
        key_step = jax.random.fold_in(key_augment, step)
        unit = whiten.to_unit(image[rows])
        if not named:
            unit = altered(recipe.augment, key_step, unit)
        white = whiten.apply(whitening, unit)
        if named:
            white = altered(recipe.augment, key_step, white)
        white, target = mixed(recipe.augment, key_step, white, target[rows])
        return white, target if weight is None else Weighted(target, weight)

    return source


@lru_cache(maxsize=64)
def student_network(
    spec: NetworkSpec, image_shape: tuple[int, int, int], width: int
) -> Network:
    """The student's network with `width` outputs; equal arguments, the same object."""
    return networks.build(spec, image_shape, width)


def fit(
    key: Key,
    network: Network,
    examples: Examples,
    *,
    drive: Drive,
    stage: str,
    start: Variables | None = None,
) -> Variables:
    """Trains a network on the examples, from `start` or fresh."""
    source, data, recipe = examples
    variables, _ = train(
        key, source, network, recipe, data, start=start, drive=drive, stage=stage
    )
    return variables


def fresh(key: Key, network: Network, examples: Examples) -> Variables:
    """The network that `fit` starts from with this key."""
    run = trainer(examples.source, network, examples.recipe)
    return jax.jit(run.init)(key).variables


@lru_cache(maxsize=64)
def outputs(
    network: Network, part: Literal["logits", "features"]
) -> Callable[[Variables, Array], Array]:
    """`(variables, image [n,h,w,c]) -> [n,d]` of a network at test."""

    def apply(variables: Variables, image: Array) -> Array:
        output, _ = network.apply(variables, image)
        return getattr(output, part)

    return apply


@lru_cache(maxsize=64)
def apply_to_all(
    apply: Callable[[Any, Array], Array],
) -> Callable[[Any, Corpus], Array]:
    """Applies a function of whitened images to a whole split, un-augmented, in chunks.

    Args:
      apply: `(variables, image [n,h,w,c]) -> [n,d]`, of a network or a regression.

    Returns:
      `(variables, corpus) -> [n,d]`, jitted; memory of one chunk and the result.
    """

    @jax.jit
    def run(variables: Variables, corpus: Corpus) -> Array:
        size = corpus.size
        chunk = min(_CHUNK, size)
        count = -(-size // chunk)
        rows = jnp.minimum(jnp.arange(count * chunk), size - 1).reshape(count, chunk)

        def one(part: Array) -> Array:
            unit = whiten.to_unit(corpus.image[part])
            return apply(variables, whiten.apply(corpus.whitening, unit))

        result = jax.lax.map(one, rows)
        return result.reshape(count * chunk, -1)[:size]

    return run
