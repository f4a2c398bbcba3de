"""What a run does with each kind of need, one row of functions a kind."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxdd.base import Assets, Corpus, Dataset
from jaxdd.data.feeds import Reader
from jaxdd.prepare.experts import (
    check_experts_need,
    prepare_experts,
    pretend_experts,
    runs_of_experts,
)
from jaxdd.prepare.site import Prepared, Site
from jaxdd.prepare.teachers import check_teacher, prepare_teacher, pretend_teacher
from jaxdd.records import ExpertsNeed, Need, TeacherNeed

__all__ = [
    "KINDS",
    "Assembly",
    "Kind",
    "check",
    "prepare",
    "prepare_all",
    "pretend_all",
    "runs",
]


class Kind(NamedTuple):
    """All that a run does with needs of one kind.

    `prepare(need, dataset, site)` trains, imports or finds it; `pretend`, of the same
    arguments, makes an asset of the right shapes and lets the drive see the steps that
    it would take; `check(need, corpus)` refuses what cannot be prepared; `runs(need)`
    says how often each stage runs, by the first part of its name.
    """

    prepare: Callable[[Any, Dataset, Site], Prepared]
    pretend: Callable[[Any, Dataset, Site], Prepared]
    check: Callable[[Any, Corpus], None]
    runs: Callable[[Any], dict[str, int]] = lambda need: {}


KINDS: dict[type, Kind] = {
    TeacherNeed: Kind(prepare_teacher, pretend_teacher, check_teacher),
    ExpertsNeed: Kind(
        prepare_experts, pretend_experts, check_experts_need, runs_of_experts
    ),
}
"""A further kind of need is a row here, and its record."""


class Assembly(NamedTuple):
    """Everything that a method needs, by the names of its needs."""

    assets: Assets
    quality: dict[str, float]
    readers: dict[str, Reader]


def prepare(need: Need, dataset: Dataset, site: Site = Site()) -> Prepared:
    """Trains, imports, or finds in the cache, what a method asks for.

    Args:
      need: a teacher and the views over which its outputs are wanted, or experts.
      dataset: trains on the training split; the test split is only classified.
      site: where, and who runs the steps.

    Returns:
      The asset, the quality of its training, and how to read what is too large for the
      device.

    Raises:
      InputError: settings without meaning, a training that diverged, a file that does
        not fit, or a cache that cannot be written.
    """
    return KINDS[type(need)].prepare(need, dataset, site)


def prepare_all(needs: Sequence[Need], dataset: Dataset, site: Site) -> Assembly:
    """Everything that a method asks for, one after the other (`prepare`)."""
    return _assembled(needs, [prepare(need, dataset, site) for need in needs])


def pretend_all(needs: Sequence[Need], dataset: Dataset, site: Site) -> Assembly:
    """Assets of the right shapes, of which nothing is trained.

    The drives of the site are given the steps that training would take.
    """
    made = [KINDS[type(need)].pretend(need, dataset, site) for need in needs]
    return _assembled(needs, made)


def _assembled(needs: Sequence[Need], made: Sequence[Prepared]) -> Assembly:
    pairs = [(need.name, one) for need, one in zip(needs, made, strict=True)]
    return Assembly(
        {name: one.asset for name, one in pairs},
        {name: value for one in made for name, value in one.quality.items()},
        {name: one.read for name, one in pairs if one.read is not None},
    )


def check(needs: Sequence[Need], corpus: Corpus) -> None:
    """Refuses, before anything runs, what cannot be prepared from these data.

    Raises:
      InputError: names the setting.
    """
    for need in needs:
        KINDS[type(need)].check(need, corpus)


def runs(needs: Sequence[Need]) -> dict[str, int]:
    """How often each stage of a preparation runs, by the first part of its name."""
    rows = [KINDS[type(need)].runs(need) for need in needs]
    return {stage: count for row in rows for stage, count in row.items()}
