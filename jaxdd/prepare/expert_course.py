"""What experts are trained on and how: the course of their training."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxdd import augment
from jaxdd.base import Array, Corpus, Network, PyTree, Variables
from jaxdd.errors import InputError
from jaxdd.prepare.flat import gsam
from jaxdd.prepare.smooth import smooth_loss, smooth_source
from jaxdd.records import AugmentSpec, Experts, Recipe
from jaxdd.training import Trainer, trainer
from jaxdd.training.batches import array_source, in_steps
from jaxdd.training.examples import (
    Examples,
    apply_to_all,
    examples_of_corpus,
    student_network,
)

__all__ = ["Course", "check_experts", "course_of", "expert_network", "unravelled"]

_WHITE_BYTES = 8 << 30  # images that are whitened once and kept


class Course(NamedTuple):
    """The training of experts of one kind, as pure functions."""

    run: Trainer
    data: PyTree
    epoch_steps: int
    network: Network


def expert_network(experts: Experts, corpus: Corpus) -> Network:
    """The experts' network for the classes of the data.

    Raises:
      InputError: the data has no labels, or the network keeps statistics.
    """
    if not corpus.num_classes:
        raise InputError(f"data {corpus.name!r} has no labels: experts learn classes")
    network = student_network(experts.network, corpus.image_shape, corpus.num_classes)
    if jax.tree.leaves(jax.eval_shape(network.init, jax.random.key(0)).stats):
        raise InputError(
            f"experts.network.norm={experts.network.norm!r}: trajectories are of "
            "parameters alone, and batch norm keeps statistics; choose instance"
        )
    return network


@lru_cache(maxsize=64)
def unravelled(network: Network) -> Callable[[Array], Variables]:
    """The network's variables from a snapshot [p]; a jitted function."""
    like = jax.eval_shape(network.init, jax.random.key(0))
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
    unravel = ravel_pytree(zeros.params)[1]
    return jax.jit(lambda flat: Variables(unravel(flat), zeros.stats))


def course_of(
    experts: Experts,
    corpus: Corpus,
    split: Callable[[PyTree], PyTree] | None = None,
) -> Course:
    """The training of these experts.

    Args:
      experts: how.
      corpus: the training split; every image of it is used in every epoch.
      split: spreads the rows of a batch over devices.

    Raises:
      InputError: a setting without meaning.
    """
    check_experts(experts)
    network = expert_network(experts, corpus)
    recipe = dataclasses.replace(experts.recipe, epochs=experts.epochs)
    source, data, recipe = _examples(corpus, recipe)
    epoch_steps = recipe.steps // experts.epochs
    options: dict[str, Any] = {"split": split}
    if experts.kind == "flat":
        options["direction"] = gsam(experts.radius, experts.alpha)
    if experts.kind == "smooth":
        plain = dataclasses.replace(recipe, augment=AugmentSpec())
        source = smooth_source(
            source,
            _examples(corpus, plain, data).source,
            epoch_steps,
            experts.damping,
            experts.damped_epochs,
        )
        options["loss"] = smooth_loss(experts.penalty, experts.penalty_norm)
        options["by_rows"] = True
    return Course(
        trainer(source, network, recipe, **options), data, epoch_steps, network
    )


def _examples(corpus: Corpus, recipe: Recipe, data: PyTree = None) -> Examples:
    """All images; whitened once where whitening mixes pixels, which takes long."""
    mixes = corpus.whitening.kind.startswith("zca")
    on_white = recipe.augment.policy != "chain" or augment.is_identity(recipe.augment)
    fits = 4 * corpus.image.size <= _WHITE_BYTES
    if not (mixes and on_white and fits):
        return examples_of_corpus(corpus, corpus.label, recipe)
    recipe = in_steps(recipe, corpus.size)
    data = data or (_whitened(corpus), corpus.label)
    return Examples(array_source(recipe), data, recipe)


def _whitened(corpus: Corpus) -> Array:
    flat = apply_to_all(_flat_image)((), corpus)  # type: ignore[arg-type]
    return flat.reshape(corpus.image.shape)


def _flat_image(_: Any, image: Array) -> Array:
    return image.reshape(len(image), -1)


def check_experts(experts: Experts) -> None:
    """Refuses values without meaning.

    Raises:
      InputError: names the field.
    """
    rules = {
        "count": (experts.count >= 1, "at least 1"),
        "epochs": (experts.epochs >= 1, "at least 1"),
        "radius": (0 <= experts.radius < np.inf, "at least 0"),
        "alpha": (np.isfinite(experts.alpha), "a finite number"),
        "damping": (0 < experts.damping <= 1, "in (0, 1]"),
        "damped_epochs": (experts.damped_epochs >= 0, "at least 0"),
        "penalty": (0 <= experts.penalty < np.inf, "at least 0"),
        "seed": (experts.seed >= 0, "at least 0"),
    }
    for name, (fine, allowed) in rules.items():
        if not fine:
            raise InputError(
                f"experts.{name}={getattr(experts, name)}: must be {allowed}"
            )
    if experts.recipe.ema:
        raise InputError(
            f"experts.recipe.ema={experts.recipe.ema}: snapshots are of the trained "
            "weights; set it to 0"
        )
