"""Rows for sets whose targets are a teacher's representations.

A fresh student is trained on the set by mean squared error, and others on real images
with their true targets.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache, partial

import jax

from jaxdd.base import Array, Corpus, Synthetic
from jaxdd.evaluation.kernel_rows import imitating_entries
from jaxdd.evaluation.labelled import trains_students
from jaxdd.evaluation.measure import Entry, one_by_one
from jaxdd.evaluation.representation_setting import (
    RepresentationSetting,
    make_representation_setting,
)
from jaxdd.evaluation.setting import Setting
from jaxdd.evaluation.students import seed_key, untrained_entry
from jaxdd.evaluation.tasks import imitation, label_tasks
from jaxdd.select import kmeans_rows, random_rows, subset
from jaxdd.training.batches import in_steps
from jaxdd.training.examples import (
    Examples,
    examples_of_corpus,
    examples_of_set,
    fit,
)
from jaxdd.training.together import Student

__all__ = ["representation_entries"]

_FULL_BATCH = 256  # the batch of KRR-ST's pre-training, for sets trained in full batch
_KMEANS_SEED = 0  # one selection for all seeds


def representation_entries(
    setting: Setting,
    teacher_outputs: Mapping[str, Array] | None = None,
    *,
    baselines: bool,
) -> tuple[list[Entry], list[str]]:
    """The set, real images with true targets (random, k-means, all), and no training.

    Behind them the rows by kernels, for the set and the random images.

    Args:
      setting: what is evaluated.
      teacher_outputs: the teacher's un-augmented outputs by split (`train`, `test`);
        computed once from the set's own teacher where they are not given.
      baselines: whether to add rows beside the set's own.

    Returns:
      The entries and notes on the ones that cannot be made.

    Raises:
      InputError: the set has no teacher.
    """
    shared = make_representation_setting(setting, teacher_outputs or {})
    method = setting.meta.method
    own = _entry(shared, method, partial(_own, shared))
    regressions = imitating_entries(setting, shared.teacher, baselines=baselines)
    if not trains_students(setting.meta.protocol):
        return regressions, []
    notes = [] if setting.labelled else ["no linear_probe, knn, fine_tune: no labels"]
    if not baselines or setting.train is None:
        return [own, *regressions], notes
    others = _subsets(shared, setting.train)
    if setting.size > setting.train.size:
        others = []
        notes.append(
            f"no random and kmeans rows: the set has {setting.size} images and the "
            f"training split {setting.train.size}"
        )
    if setting.meta.protocol.representation.full:
        others.append(_full(shared, setting.train))
    if setting.labelled or setting.targets:
        untrained = setting, shared.network, partial(_own, shared), label_tasks(shared)
        others.append(untrained_entry(*untrained))
    others = [entry for entry in others if entry.name != method]
    return [own, *others, *regressions], notes


def _entry(
    shared: RepresentationSetting, name: str, examples: Callable[[int], Examples]
) -> Entry:
    """A row whose student learns from `examples(position)`."""
    setting = shared.setting

    def student(position: int, stage: str) -> Student:
        key = seed_key(setting.seeds[position], "student")
        data = examples(position)
        fitted = fit(key, shared.network, data, drive=setting.drive, stage=stage)
        return Student(fitted, {})

    return Entry(
        name, one_by_one(student), {"student": imitation(shared)} | label_tasks(shared)
    )


def _own(shared: RepresentationSetting, position: int) -> Examples:
    return examples_of_set(shared.setting.set_at(position).synthetic, shared.recipe)


def _subsets(shared: RepresentationSetting, train: Corpus) -> list[Entry]:
    """As many real images as the set has, with the teacher's outputs as targets."""
    setting = shared.setting

    def examples(rows: Array) -> Examples:
        real = subset(train, rows)
        target = shared.teacher("train")[rows]
        return examples_of_set(
            Synthetic(real.image, target, real.weight), shared.recipe
        )

    def random(position: int) -> Examples:
        key = seed_key(setting.seeds[position], "random")
        return examples(random_rows(key, train, setting.size, None))

    @cache
    def kmeans() -> Examples:
        key = jax.random.key(_KMEANS_SEED)
        return examples(kmeans_rows(key, train, setting.size, None))

    return [
        _entry(shared, "random", random),
        _entry(shared, "kmeans", lambda _: kmeans()),
    ]


def _full(shared: RepresentationSetting, train: Corpus) -> Entry:
    """All real pairs, in minibatches, for as many steps as the set gets."""
    batch = shared.recipe.batch or _FULL_BATCH
    recipe = in_steps(shared.recipe, shared.setting.size)
    recipe = dataclasses.replace(recipe, epochs=0, batch=batch)

    def examples(position: int) -> Examples:
        del position
        return examples_of_corpus(train, shared.teacher("train"), recipe)

    return _entry(shared, "full", examples)
