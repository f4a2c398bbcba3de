"""A run from beginning to end: prepare, distil, evaluate, report.

Each stage skips what the work directory or the cache already holds, so the same command
goes on where a killed run stopped, and a finished one prints its report again.
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from jaxdd import artefact
from jaxdd.base import Assets, Dataset, Distilled, Key
from jaxdd.data.load import load
from jaxdd.devices import agreement
from jaxdd.devices.mesh import on_mesh, shard_rows
from jaxdd.devices.students import student_group
from jaxdd.errors import InputError
from jaxdd.evaluation import Report, evaluate
from jaxdd.loop.ahead import Outside
from jaxdd.loop.loop import Loop
from jaxdd.loop.progress import data_bars
from jaxdd.prepare import prepare
from jaxdd.records import ExpertsNeed, Need
from jaxdd.report import report as reports
from jaxdd.report.publish import export, publish
from jaxdd.report.report import RunReport
from jaxdd.run import summary, workdir
from jaxdd.run.config import RunConfig, cache_folder, run_hash, workdir_of
from jaxdd.run.judging import with_protocol
from jaxdd.run.plan import Plan, distil, make_plan, package, seeds_of, segments_outside
from jaxdd.run.targets import load_targets

__all__ = ["assets_of", "evaluation_seeds", "run"]

Announce = Callable[[str], None]


class _Clock:
    """Wall time of each stage; the longer ones are announced when they end."""

    def __init__(self, announce: Announce) -> None:
        self.seconds: dict[str, float] = {}
        self._announce = announce

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - began
        if self.seconds[name] >= 1.0:
            self._announce(f"{name}: {self.seconds[name]:.1f} s")


def run(
    config: RunConfig,
    *,
    dataset: Dataset | None = None,
    announce: Announce = lambda line: None,
    command: str = "",
) -> RunReport:
    """Runs, or goes on with, or only reports a run.

    Args:
      config: what to do.
      dataset: instead of the one that `config.data` names.
      announce: told in one line what happens.
      command: the one that repeats the run, for the report.

    Returns:
      The report; without rows where `config.stage` stops before the evaluation.

    Raises:
      InputError: the settings, the data or the work directory do not fit.
    """
    folder, clock = workdir_of(config), _Clock(announce)
    cache = cache_folder(config)
    if dataset is None:
        with clock.stage("data"):
            bars = data_bars(config.run.progress)
            read = partial(load, config.data, cache=cache / "data", progress=bars)
            dataset = agreement.in_turn(lambda: read(announce=announce))
    announce(_described(dataset))
    config = with_protocol(config, config.evaluate, dataset.train)
    plan = make_plan(config, dataset)
    for note in plan.distiller.notes:
        announce(note)
    workdir.claim(folder, config, dataset)
    finished = reports.read(folder)
    if finished is not None:
        announce(f"{folder} is finished; --overwrite starts anew")
        return finished
    loop = _loop(config, folder)
    with clock.stage("prepare"):
        assets, teacher = assets_of(plan, loop, cache / "prepared", announce)
    sets: list[Distilled] = []
    if config.stage != "prepare":
        with clock.stage("distill"):
            outside = segments_outside(plan, assets, cache / "prepared")
            sets = _distil_all(plan, assets, folder, loop, announce, outside)
    measured = Report([], [])
    if config.stage in ("evaluate", "all"):
        with clock.stage("evaluate"):
            targets = load_targets(
                config.evaluate,
                config.data,
                plan.task.image_shape,
                cache=cache / "data",
                progress=data_bars(config.run.progress),
                announce=announce,
            )
            measured = _evaluate(plan, sets, folder, loop, targets)
    histories = summary.histories(folder)
    report = summary.summarise(
        plan, sets, measured, teacher, histories, clock.seconds, command
    )
    if config.stage in ("evaluate", "all"):
        if agreement.is_first():
            _finish(plan, sets, measured, report, histories, folder, announce)
        agreement.barrier("finished")
    return report


def _described(dataset: Dataset) -> str:
    train, test = dataset
    shape = "x".join(map(str, train.image_shape))
    kind = f"{train.num_classes} classes" if train.num_classes else "no labels"
    count = f"{train.size:,} training and {test.size if test else 0:,} test images"
    return f"{train.name}: {count} of {shape}, {kind}"


def _loop(config: RunConfig, folder: Path | None) -> Loop:
    return Loop(
        folder,
        config_hash=run_hash(config),
        chunk=config.run.chunk,
        save_every=config.run.save_every,
        progress=config.run.progress,
    )


def assets_of(
    plan: Plan, loop: Loop, cache: Path | None, announce: Announce
) -> tuple[Assets, dict[str, float]]:
    """Everything the method needs, and the quality of what was trained for it."""
    assets: Assets = {}
    quality: dict[str, float] = {}
    for need in plan.distiller.needs:
        assets[need.name], measured = prepare(
            need,
            plan.dataset,
            **_trained_by(need, plan, loop),
            cache=cache,
            view_budget=plan.config.data.view_budget,
            expert_budget=plan.config.data.expert_budget,
            announce=announce,
            together=agreement.together(),
        )
        quality |= measured
    return assets, quality


def _trained_by(need: Need, plan: Plan, loop: Loop) -> dict[str, Any]:
    """Who runs the steps of a preparation, and on which devices."""
    if isinstance(need, ExpertsNeed):
        # Their store is their checkpoint: the loop keeps nothing.
        group = student_group(plan.config.run, need.experts.count)
        return {"drive": _loop(plan.config, None), "group": group}
    split = partial(shard_rows, plan.mesh)
    return {"drive": on_mesh(plan.mesh, loop), "shard": split}


def _distil_all(
    plan: Plan,
    assets: Assets,
    folder: Path,
    loop: Loop,
    announce: Announce,
    outside: Callable[[Key], Outside] | None,
) -> list[Distilled]:
    """One set per seed; those that are saved already are read."""
    config, sets = plan.config, []
    for seed in seeds_of(config):
        place = workdir.set_folder(folder, config, seed)
        if (place / "meta.json").exists():
            sets.append(artefact.load(place))
            continue
        if config.stage == "evaluate":
            raise InputError(
                f"stage='evaluate': there is no distilled set in {str(place)!r}; run"
                " --stage distill (or all) first"
            )
        part = "" if config.seeds == 1 else f"/seed{seed}"
        synthetic, _ = distil(plan, assets, seed, loop, part, outside)
        made = package(plan, assets, synthetic, seed)
        sets.append(agreement.in_turn(partial(_kept, made, place)))
        announce(f"saved {len(synthetic.image):,} images in {place}")
    return sets


def _kept(made: Distilled, place: Path) -> Distilled:
    """The set as process 0 has saved it."""
    if agreement.is_first():
        return artefact.save(made, place)
    return artefact.load(place)


def evaluation_seeds(config: RunConfig) -> list[int]:
    """One per set, or, for a single set, one per student."""
    count = config.seeds if config.seeds > 1 else config.students
    return [config.seed + i for i in range(count)]


def _evaluate(
    plan: Plan,
    sets: list[Distilled],
    folder: Path,
    loop: Loop,
    targets: list[Dataset],
) -> Report:
    seeds = evaluation_seeds(plan.config)
    return evaluate(
        sets,
        plan.dataset,
        seeds=seeds,
        drive=loop,
        store=workdir.JsonStore(folder / "evaluation.json"),
        targets=targets,
        group=student_group(plan.config.run, len(seeds)),
    )


def _finish(
    plan: Plan,
    sets: list[Distilled],
    measured: Report,
    report: RunReport,
    histories: list[dict[str, np.ndarray]],
    folder: Path,
    announce: Announce,
) -> None:
    """Writes figures, the page, the rows into the sets, and what is to be exported."""

    def keep_rows() -> None:
        for position, made in enumerate(sets):
            rows = measured.of_seed(position) if len(sets) > 1 else tuple(measured.rows)
            meta = dataclasses.replace(made.meta, rows=rows)
            place = workdir.set_folder(folder, plan.config, meta.seed)
            artefact.save(made._replace(meta=meta), place)

    publish(report, sets[0], histories, folder, keep_rows)
    if plan.config.export:
        place = plan.config.export_dir or folder / f"export-{plan.config.export}"
        export(sets, plan.config.export, place, announce)
