"""What a run has to say, gathered: the report's fields and its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdd import presets
from jaxdd.base import Corpus, Dataset, Distilled
from jaxdd.evaluation import Report
from jaxdd.loop.log import read_metrics
from jaxdd.records import Expected
from jaxdd.report import environment
from jaxdd.report.pictures import Histories
from jaxdd.report.report import RunReport
from jaxdd.run.config import JudgeConfig, RunConfig, run_hash
from jaxdd.run.plan import Plan

__all__ = ["histories", "judged", "summarise"]


def summarise(
    plan: Plan,
    sets: Sequence[Distilled],
    measured: Report,
    teacher: Mapping[str, float],
    runs: Histories,
    seconds: Mapping[str, float],
    command: str = "",
) -> RunReport:
    """The report of a run.

    Args:
      plan: what was run.
      sets: the distilled sets, none if the run stopped before.
      measured: rows and notes of the evaluation.
      teacher: quality of what was prepared, a teacher or experts.
      runs: metrics of each distillation.
      seconds: wall time by stage.
      command: repeats the run.
    """
    config = plan.config
    kind = sets[0].meta.label_kind if sets else plan.method.targets
    return RunReport(
        method=config.method,
        preset=config.preset,
        config_hash=run_hash(config),
        dataset=_dataset(plan.dataset.train, plan.dataset.test),
        set={"size": plan.task.size, "ipc": plan.task.ipc, "targets": kind},
        rows=tuple(measured.rows),
        notes=tuple(measured.notes),
        teacher=dict(teacher),
        loss=_ends(runs),
        storage=dict(sets[0].meta.storage) if sets else {},
        expected=_expected(config),
        seconds={name: round(s, 1) for name, s in seconds.items() if s >= 0.05},
        versions=environment.versions(),
        hardware=environment.hardware(),
        commit=environment.commit(),
        command=command,
    )


def judged(
    config: JudgeConfig,
    sets: Sequence[Distilled],
    dataset: Dataset,
    measured: Report,
    command: str = "",
) -> RunReport:
    """The report on a set that was made elsewhere, or earlier.

    Args:
      config: how it was judged.
      sets: one, or those of several seeds.
      dataset: the data it was judged on.
      measured: rows and notes of the evaluation.
      command: repeats the run.
    """
    meta = sets[0].meta
    size, classes = len(sets[0].synthetic.image), meta.num_classes
    ipc = None if not classes or size % classes else size // classes
    return RunReport(
        method=meta.method,
        preset=meta.preset,
        config_hash=run_hash(config),
        dataset=_dataset(dataset.train, dataset.test),
        set={"size": size, "ipc": ipc, "targets": meta.label_kind},
        rows=tuple(measured.rows),
        notes=(*meta.config.get("notes", ()), *measured.notes),
        storage=dict(meta.storage),
        versions=environment.versions(),
        hardware=environment.hardware(),
        commit=environment.commit(),
        command=command,
    )


def _dataset(train: Corpus, test: Corpus | None) -> dict[str, Any]:
    return {
        "name": train.name,
        "hash": train.hash,
        "image_shape": list(train.image_shape),
        "classes": train.num_classes,
        "train": train.size,
        "test": 0 if test is None else test.size,
        "whitening": train.whitening.kind,
    }


def histories(folder: Path) -> list[dict[str, np.ndarray]]:
    """The metrics of every distillation of a run, in the order of the seeds."""
    stages = read_metrics(folder / "metrics.jsonl")
    return [m for name, m in stages.items() if name.split("/")[0] == "distill"]


def _ends(runs: Histories) -> dict[str, float]:
    """Means over the first and the last twentieth of the steps, and over the seeds."""
    losses = [run["loss"] for run in runs if len(run.get("loss", ()))]
    if not losses:
        return {}
    few = [max(1, len(loss) // 20) for loss in losses]
    pairs = list(zip(losses, few, strict=True))
    return {
        "first": float(np.mean([loss[:n].mean() for loss, n in pairs])),
        "last": float(np.mean([loss[-n:].mean() for loss, n in pairs])),
    }


def _expected(config: RunConfig) -> tuple[Expected, ...]:
    """What the preset promises, if the run is what the preset describes."""
    preset = presets.get(config.method).get(config.preset)
    if preset is None:
        return ()
    asked = (config.distill, config.ipc, config.size, config.run.steps, config.evaluate)
    meant = (preset.distill, preset.ipc, preset.size, preset.steps, preset.evaluate)
    return preset.expected if asked == meant else ()
