"""A run from beginning to end: prepare, distil, evaluate, report.

Each stage skips what the work directory or the cache already holds, so the same command
goes on where a killed run stopped, and a finished one prints its report again.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from jaxdd import artefact
from jaxdd.base import Dataset, Distilled
from jaxdd.devices import agreement
from jaxdd.errors import InputError
from jaxdd.evaluation import Report
from jaxdd.prepare import Assembly, prepare_all
from jaxdd.report.pictures import Histories
from jaxdd.report.publish import conclude, export, write_pages
from jaxdd.report.report import RunReport
from jaxdd.run import summary, workdir
from jaxdd.run.config import RunConfig, workdir_of
from jaxdd.run.context import RunContext, Say, make_context
from jaxdd.run.judging import with_protocol
from jaxdd.run.plan import Plan, distil, make_plan, package

__all__ = ["run"]


class _Clock:
    """Wall time of each stage; the longer ones are told when they end."""

    def __init__(self, say: Say) -> None:
        self.seconds: dict[str, float] = {}
        self._say = say

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began
        if self.seconds[name] >= 1.0:
            self._say(f"{name}: {self.seconds[name]:.1f} s")


def run(
    config: RunConfig,
    *,
    dataset: Dataset | None = None,
    say: Say = lambda line: None,
    command: str = "",
) -> RunReport:
    """Runs, or goes on with, or only reports a run.

    Args:
      config: what to do.
      dataset: instead of the one that `config.data` names.
      say: told in one line what happens.
      command: the one that repeats the run, for the report.

    Returns:
      The report; without rows where `config.stage` stops before the evaluation.

    Raises:
      InputError: the settings, the data or the work directory do not fit.
    """
    context, clock = make_context(config, say, workdir_of(config)), _Clock(say)
    with clock.stage("data"):
        dataset = dataset or context.load(config.data)
    say(_described(dataset))
    config = with_protocol(config, dataset.train)
    context, plan = context.of(config), make_plan(config, dataset)
    for note in plan.distiller.notes:
        say(note)
    if finished := context.claim(dataset):
        return finished
    with clock.stage("prepare"):
        prepared = prepare_all(plan.distiller.needs, dataset, context.site(plan))
    sets, measured = [], Report([], [])
    if config.stage != "prepare":
        with clock.stage("distill"):
            sets = _distil_all(context, plan, prepared)
    if config.stage in ("evaluate", "all"):
        with clock.stage("evaluate"):
            others = context.targets(sets[0].meta, config.data)
            measured = context.measure(sets, dataset, others)
    histories = summary.histories(context.folder)
    report = summary.summarise(
        plan, sets, measured, prepared.quality, histories, clock.seconds, command
    )
    if config.stage in ("evaluate", "all"):
        if agreement.is_first():
            _finish(context, sets, measured, report, histories)
        agreement.barrier("finished")
    return report


def _described(dataset: Dataset) -> str:
    train, test = dataset
    shape = "x".join(map(str, train.image_shape))
    kind = f"{train.num_classes} classes" if train.num_classes else "no labels"
    count = f"{train.size:,} training and {test.size if test else 0:,} test images"
    return f"{train.name}: {count} of {shape}, {kind}"


def _distil_all(context: RunContext, plan: Plan, prepared: Assembly) -> list[Distilled]:
    """One set per seed; those that are saved already are read."""
    config, sets = plan.config, []
    for seed in config.numbered(config.seeds):
        place = workdir.set_folder(context.folder, config, seed)
        if (place / "meta.json").exists():
            sets.append(artefact.load(place))
            continue
        if config.stage == "evaluate":
            raise InputError(
                f"stage='evaluate': there is no distilled set in {str(place)!r}; run"
                " --stage distill (or all) first"
            )
        part = "" if config.seeds == 1 else f"/seed{seed}"
        synthetic, _ = distil(plan, prepared, seed, context.loop, part)
        distilled = package(plan, prepared.assets, synthetic, seed)
        sets.append(agreement.in_turn(partial(_saved, distilled, place)))
        context.say(f"saved {len(synthetic.image):,} images in {place}")
    return sets


def _saved(distilled: Distilled, place: Path) -> Distilled:
    """The set as process 0 has saved it."""
    if agreement.is_first():
        return artefact.save(distilled, place)
    return artefact.load(place)


def _finish(
    context: RunContext,
    sets: list[Distilled],
    measured: Report,
    report: RunReport,
    histories: Histories,
) -> None:
    """Writes figures, the page, the rows into the sets, and what is to be exported."""
    config, folder = context.config, context.folder
    write_pages(report, sets[0], histories, folder)
    for position, distilled in enumerate(sets):
        rows = measured.of_seed(position) if len(sets) > 1 else tuple(measured.rows)
        place = workdir.set_folder(folder, config, distilled.meta.seed)
        artefact.annotate(place, rows=rows)
    conclude(report, folder)
    if config.export:
        place = config.export_dir or folder / f"export-{config.export}"
        export(sets, config.export, place, context.say)
