"""`--verify DIR`: measures saved sets again and compares with what they recorded."""

from __future__ import annotations

import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

from jaxdd import artefact
from jaxdd.devices.students import student_group
from jaxdd.evaluation import Check
from jaxdd.evaluation import verify as measure_again
from jaxdd.records import DataSpec, Meta
from jaxdd.report import console
from jaxdd.report.metrics import number, title_of
from jaxdd.run import workdir
from jaxdd.run.config import Options, RunConfig
from jaxdd.run.context import make_context

__all__ = ["verify"]


def verify(folder: Path, config: Options) -> bool:
    """Re-measures every set in a folder, and shows recorded beside measured.

    Args:
      folder: a saved set, or the work directory of a finished run.
      config: where data and cache lie; with a method its `data.dir` is used.

    Returns:
      Whether all figures agree.

    Raises:
      InputError: there is no set, or its data cannot be found or is another.
    """
    context = make_context(config)
    load = functools.cache(context.load)
    agree = True
    for place in workdir.sets_in(folder):
        distilled = artefact.load(place)
        spec = _data_of(distilled.meta, config)
        students = max((row.seeds for row in distilled.meta.rows), default=1)
        checks = measure_again(
            distilled,
            load(spec),
            drive=context.loop,
            targets=context.targets(distilled.meta, spec),
            group=student_group(config.run, students),
        )
        console.show(_table(place, checks))
        agree = agree and all(check.ok for check in checks)
    console.say("all figures agree" if agree else "some figures do NOT agree")
    return agree


def _data_of(meta: Meta, config: Options) -> DataSpec:
    """The set's own data settings, found where they lie on this machine."""
    asked = config.data.dir if isinstance(config, RunConfig) else None
    recorded = meta.data.dir
    place = recorded if recorded and os.path.exists(recorded) else None
    return dataclasses.replace(meta.data, dir=asked or place)


def _table(place: Path, checks: list[Check]) -> Any:
    rows = []
    for check in checks:
        metric = check.row.metric
        values = [number(metric, v) for v in (check.recorded, check.measured)]
        mark = "[green]ok" if check.ok else "[red]differs"
        rows.append((title_of(metric), *values, mark))
    heads = ("metric", "recorded", "measured", "")
    return console.table(heads, rows, title=str(place))
