"""Rows for sets with class labels, hard or soft: test accuracy of fresh students."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxdd import networks
from jaxdd.base import Corpus, Network, Variables
from jaxdd.errors import InputError
from jaxdd.evaluation.calibration import calibration_error_of_logits, top_five
from jaxdd.evaluation.contestants import (
    Contestant,
    class_mean_contestant,
    own_contestant,
    random_contestant,
    whole_contestant,
)
from jaxdd.evaluation.kernel_rows import kernel_entries
from jaxdd.evaluation.measure import Entry, Figures, Measurement
from jaxdd.evaluation.probes import accuracy
from jaxdd.evaluation.ranking import ranking_contestants
from jaxdd.evaluation.setting import Setting
from jaxdd.evaluation.students import centred_student, seed_key, untrained_entry
from jaxdd.evaluation.tasks import transfer_tasks
from jaxdd.records import NetworkSpec, Protocol, Recipe
from jaxdd.training.examples import (
    Examples,
    apply_to_all,
    outputs,
    student_network,
)
from jaxdd.training.together import ALONE, Group, Student, fit_students

__all__ = ["Other", "labelled_entries", "other_network", "trains_students"]


class Other(NamedTuple):
    """A network beside the protocol's own."""

    name: str
    spec: NetworkSpec
    most: int | None  # seeds that it is trained with; None = all


def other_network(asked: str, image_shape: tuple[int, int, int]) -> Other:
    """One of `Protocol.networks`: a name, or name:count for the first seeds only.

    Raises:
      InputError: no such network or count, or images that it cannot take.
    """
    name, colon, count = asked.partition(":")
    if colon and not (count.isdecimal() and int(count)):
        raise InputError(
            f"networks={asked!r}: after the colon comes the number of seeds, at least"
            " 1, such as resnet18:1"
        )
    return Other(name, networks.named(name, image_shape), int(count or 0) or None)


def labelled_entries(
    setting: Setting, *, baselines: bool, group: Group = ALONE
) -> tuple[list[Entry], list[str]]:
    """The set itself and what it must be compared with, under every network.

    Random real images; class means where there is one image a class; the whole data,
    and what DD-Ranking's scores need, where the protocol asks for them. Where students
    are measured on other data too, also no training on any set. Behind them the rows by
    kernels; only these where the protocol's training has no steps.

    Returns:
      The entries and notes on the ones that cannot be made.
    """
    protocol = setting.meta.protocol
    contestants, notes = _contestants(setting, baselines)
    random = any(contestant.name == "random" for contestant in contestants)
    regressions, more = kernel_entries(setting, baselines=baselines, random=random)
    notes += more
    if not trains_students(protocol):
        return regressions, notes
    extra: list[Contestant] = []
    if baselines and setting.train is not None:
        if protocol.labelled.full.steps or protocol.labelled.full.epochs:
            extra.append(whole_contestant(setting))
        if protocol.labelled.ranking:
            extra += ranking_contestants(setting)
    entries = [_entry(setting, c, group) for c in [*contestants, *extra]]
    if baselines and setting.targets:
        network, own = _network(setting), own_contestant(setting)
        first = lambda position: own.examples(position, None)
        measured = transfer_tasks(setting, network)
        entries.append(untrained_entry(setting, network, first, measured))
    for asked in protocol.labelled.networks:
        other = other_network(asked, setting.image_shape)
        entries += [_entry(setting, c, group, other) for c in contestants]
    return entries + regressions, notes


def trains_students(protocol: Protocol) -> bool:
    """Whether networks are trained, and not only kernels fitted."""
    recipe = protocol.train
    return bool(recipe.steps or recipe.epochs or not protocol.regression.kernels)


def _contestants(
    setting: Setting, baselines: bool
) -> tuple[list[Contestant], list[str]]:
    found, notes = [own_contestant(setting)], []
    if baselines and setting.train is not None:
        shortage = _shortage(setting)
        if shortage:
            notes.append(f"no random row: {shortage}")
        else:
            found.append(random_contestant(setting))
        if setting.ipc == 1:
            found.append(class_mean_contestant(setting))
    # A set that is itself a baseline is not repeated.
    return list({c.name: c for c in reversed(found)}.values())[::-1], notes


def _entry(
    setting: Setting,
    contestant: Contestant,
    group: Group,
    other: Other | None = None,
) -> Entry:
    """A row, under the protocol's own network or another one."""
    network = _network(setting, other.spec if other else None)
    tested = _Test(network, setting.test)

    def students(positions: Sequence[int], stage: str) -> list[Student]:
        def fit(rate: float | None, stage: str) -> list[Student]:
            made = [contestant.examples(position, rate) for position in positions]
            return _fit(setting, network, tested, positions, made, group, stage)

        if not contestant.rates:
            return fit(None, stage)
        tried = [fit(rate, f"{stage}/rate{rate:g}") for rate in contestant.rates]
        return [max(options, key=reported) for options in zip(*tried, strict=True)]

    def reported(student: Student) -> float:
        if setting.meta.protocol.labelled.report == "best" and student.checked:
            return _best(student)
        return tested.accuracy(student.variables)

    tasks: dict[str, Measurement] = {"student": _score(setting, tested)}
    if other is not None:
        return Entry(contestant.name, students, tasks, other.name, other.most)
    return Entry(contestant.name, students, tasks | transfer_tasks(setting, network))


def _fit(
    setting: Setting,
    network: Network,
    tested: "_Test",
    positions: Sequence[int],
    made: Sequence[Examples],
    group: Group,
    stage: str,
) -> list[Student]:
    """Students together where they share a recipe; sets may bring their own rates."""
    keys = [seed_key(setting.seeds[position], "student") for position in positions]
    recipe = made[0].recipe
    if any(one.recipe != recipe for one in made):
        alone = [
            _fit(setting, network, tested, [p], [one], group, f"{stage}/{p}")
            for p, one in zip(positions, made, strict=True)
        ]
        return [student for one in alone for student in one]
    return fit_students(
        keys,
        network,
        made,
        group=group,
        drive=setting.drive,
        stage=stage,
        check=tested.accuracy,
        every=_every(setting.meta.protocol.labelled.check_every, recipe),
    )


def _every(epochs: int, recipe: Recipe) -> int:
    """Steps between checks: the recipe counts epochs, or steps themselves."""
    return epochs * (recipe.steps // recipe.epochs if recipe.epochs else 1)


class _Test:
    """The test split under one network; equal arguments share a program."""

    def __init__(self, network: Network, corpus: Corpus) -> None:
        self._logits = apply_to_all(outputs(network, "logits"))
        self._corpus = corpus

    def logits(self, variables: Variables) -> np.ndarray:
        return np.asarray(jax.device_get(self._logits(variables, self._corpus)))

    def accuracy(self, variables: Variables) -> float:
        return accuracy(self.logits(variables), self._corpus.label)


def _score(setting: Setting, tested: _Test) -> Measurement:
    """Accuracy at the last step and at the best one, and calibration."""
    label = np.asarray(setting.test.label)

    def score(student: Student, seed: int, stage: str) -> Figures:
        del seed, stage
        logits = tested.logits(student.variables)
        last = accuracy(logits, setting.test.label)
        figures = {"accuracy": last}
        if student.checked:
            figures["accuracy_best"] = max(last, _best(student))
        error = calibration_error_of_logits(logits, label)
        return figures | top_five(logits, label) | {"calibration_error": error}

    return score


def _best(student: Student) -> float:
    return max(student.checked.values())


def _network(setting: Setting, spec: NetworkSpec | None = None) -> Network:
    meta = setting.meta
    spec = meta.protocol.network if spec is None else spec
    network = student_network(spec, setting.image_shape, meta.num_classes)
    return centred_student(network, meta.protocol)


def _shortage(setting: Setting) -> str:
    """Why as many real images as the set has cannot be drawn, or nothing."""
    assert setting.train is not None
    if setting.ipc is None:
        have, need, where = setting.train.size, setting.size, "in all"
    else:
        have = int(setting.train.class_count.min())
        need, where = setting.ipc, "in the smallest class"
    if need <= have:
        return ""
    return f"the set needs {need} images and the training split has {have} {where}"
