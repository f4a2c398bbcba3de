"""What the students of a labelled row are trained on, and by which recipe.

Recipes are written for the set's own labels; rows of real images have class labels, so
their recipe regresses or classifies those in its place.
"""

import dataclasses
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import Array, Synthetic
from jaxdd.evaluation.replay import own_steps, replayed
from jaxdd.evaluation.setting import Setting
from jaxdd.evaluation.students import seed_key
from jaxdd.records import AugmentSpec, Recipe
from jaxdd.select import class_means, random_rows, subset
from jaxdd.training.examples import Examples, examples_of_corpus, examples_of_set

__all__ = [
    "Contestant",
    "class_mean_contestant",
    "own_contestant",
    "own_rate",
    "random_contestant",
    "random_set",
    "whole_contestant",
]


class Contestant(NamedTuple):
    """A row before it is trained.

    `examples(position, rate)` is what the student of the seed at `position` learns
    from; a rate replaces the recipe's. Of `rates`, where there are some, the one of
    best test accuracy is taken.
    """

    name: str
    examples: Callable[[int, float | None], Examples]
    rates: tuple[float, ...] = ()


def own_rate(setting: Setting, position: int) -> float | None:
    """The learning rate that the set of a seed brings, if its protocol uses it."""
    hyper = setting.set_at(position).synthetic.hyper
    known = isinstance(hyper, dict) and "learning_rate" in hyper
    if not setting.meta.protocol.labelled.own_rate or not known:
        return None
    return float(hyper["learning_rate"])


def own_contestant(
    setting: Setting, *, hard: bool = False, augmented: bool = True
) -> Contestant:
    """The set itself, with its own labels or only its classes.

    Args:
      setting: what is evaluated.
      hard: take the most probable class of soft labels.
      augmented: keep the recipe's augmentation.
    """
    protocol = setting.meta.protocol.labelled

    @cache
    def made(index: int) -> Synthetic:
        synthetic = setting.sets[index].synthetic
        soft = not _integer(synthetic.target)
        if not (hard and soft):
            return synthetic
        return synthetic._replace(target=jnp.argmax(synthetic.target, -1))

    def examples(position: int, rate: float | None) -> Examples:
        synthetic = made(position if len(setting.sets) > 1 else 0)
        rate = own_rate(setting, position) if rate is None else rate
        recipe = _recipe(setting, augmented, rate)
        steps = own_steps(setting, position)
        if steps is not None:
            synthetic, recipe = replayed(setting, synthetic, recipe, steps)
        return _examples(setting, synthetic, recipe)

    brings = own_rate(setting, 0) is not None
    searched = protocol.own_rate and not brings
    return Contestant(
        setting.meta.method, examples, protocol.learning_rates if searched else ()
    )


def random_contestant(setting: Setting, *, augmented: bool = True) -> Contestant:
    """Random real images, as many of each class, drawn anew for each seed."""
    made = cache(lambda position: random_set(setting, position))

    def examples(position: int, rate: float | None) -> Examples:
        rate = own_rate(setting, position) if rate is None else rate
        recipe = _recipe(setting, augmented, rate)
        return _real_examples(setting, position, made(position), recipe)

    rates = setting.meta.protocol.labelled.learning_rates
    return Contestant("random", examples, rates)


def random_set(setting: Setting, position: int) -> Synthetic:
    """The random real images of the seed at `position`."""
    assert setting.train is not None
    key = seed_key(setting.seeds[position], "random")
    rows = random_rows(key, setting.train, setting.size, setting.ipc)
    return subset(setting.train, rows)


def class_mean_contestant(setting: Setting) -> Contestant:
    """The mean image of each class."""
    train = setting.train
    assert train is not None
    means = cache(lambda: class_means(train))

    def examples(position: int, rate: float | None) -> Examples:
        rate = own_rate(setting, position) if rate is None else rate
        recipe = _recipe(setting, True, rate)
        return _real_examples(setting, position, means(), recipe)

    rates = setting.meta.protocol.labelled.learning_rates
    return Contestant("class_mean", examples, rates)


def whole_contestant(setting: Setting) -> Contestant:
    """All real images, by a recipe of their own."""
    train, recipe = setting.train, setting.meta.protocol.labelled.full
    assert train is not None
    target, recipe = _targets(train.label, recipe, setting.meta.num_classes)

    def examples(position: int, rate: float | None) -> Examples:
        del position, rate
        return examples_of_corpus(train, target, recipe)

    return Contestant("full", examples)


def _real_examples(
    setting: Setting, position: int, synthetic: Synthetic, recipe: Recipe
) -> Examples:
    """Real images, in the steps of the set where the protocol replays them."""
    steps = own_steps(setting, position)
    if steps is not None:
        rate = np.full(steps.shape, recipe.optimiser.learning_rate)
        synthetic, recipe = replayed(setting, synthetic, recipe, rate)
    return _examples(setting, synthetic, recipe)


def _examples(setting: Setting, synthetic: Synthetic, recipe: Recipe) -> Examples:
    target, recipe = _targets(synthetic.target, recipe, setting.meta.num_classes)
    return examples_of_set(synthetic._replace(target=target), recipe)


def _recipe(setting: Setting, augmented: bool, rate: float | None) -> Recipe:
    recipe = setting.meta.protocol.train
    if not augmented:
        recipe = dataclasses.replace(recipe, augment=AugmentSpec())
    if rate is not None:
        optimiser = dataclasses.replace(recipe.optimiser, learning_rate=rate)
        recipe = dataclasses.replace(recipe, optimiser=optimiser)
    return recipe


def _targets(target: Array, recipe: Recipe, classes: int) -> tuple[Array, Recipe]:
    """Targets in the form that the recipe's loss and mixing take, and the recipe.

    Classes are no logits, so losses against logits become cross-entropy; regression
    takes centred rows, as FRePo's labels are.
    """
    if not _integer(target):
        return target, recipe
    if recipe.loss == "mse":
        return jax.nn.one_hot(target, classes) - 1 / classes, recipe
    recipe = dataclasses.replace(recipe, loss="cross_entropy")
    if recipe.augment.cutmix or recipe.augment.mixup:
        target = jax.nn.one_hot(target, classes)
    return target, recipe


def _integer(target: Array) -> bool:
    return bool(jnp.issubdtype(target.dtype, jnp.integer))
