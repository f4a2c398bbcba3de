"""What all stages of a run share: its settings, its places, who is told."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from jaxdd.base import Dataset, Distilled
from jaxdd.data.load import load
from jaxdd.data.source import Progress, silent
from jaxdd.devices import agreement
from jaxdd.devices.mesh import on_mesh, shard_rows
from jaxdd.devices.students import student_group
from jaxdd.evaluation import Report, evaluate
from jaxdd.loop.loop import Loop
from jaxdd.loop.progress import data_bars
from jaxdd.prepare import Site
from jaxdd.records import DataSpec, Meta
from jaxdd.report import report as reports
from jaxdd.report.report import RunReport
from jaxdd.run import workdir
from jaxdd.run.config import Options, cache_folder, run_hash
from jaxdd.run.plan import Plan
from jaxdd.run.targets import target_specs

__all__ = ["RunContext", "make_context"]

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class RunContext:
    """What all stages of a run share.

    Attributes:
      config: of the run.
      workdir: None keeps nothing.
      cache: decoded data and prepared assets; None keeps nothing.
      say: told in one line what happens.
      bars: of downloads and decoding.
    """

    config: Options
    workdir: Path | None = None
    cache: Path | None = None
    say: Say = lambda line: None
    bars: Progress = silent

    @property
    def folder(self) -> Path:
        """The work directory, of a run that has one."""
        assert self.workdir is not None
        return self.workdir

    @cached_property
    def loop(self) -> Loop:
        """Runs the steps of every stage of this run."""
        driven = self.config.run
        return Loop(
            self.workdir,
            config_hash=run_hash(self.config),
            chunk=driven.chunk,
            save_every=driven.save_every,
            progress=driven.progress,
        )

    def of(self, config: Options) -> RunContext:
        """The same for a configuration that is settled further."""
        return dataclasses.replace(self, config=config)

    def load(self, spec: DataSpec) -> Dataset:
        """The data, decoded by one process before the others read what it keeps.

        Raises:
          InputError: as `jaxdd.data.load.load`.
        """
        place = self.cache and self.cache / "data"
        read = partial(load, spec, cache=place, progress=self.bars, announce=self.say)
        return agreement.in_turn(read)

    def targets(self, meta: Meta, data: DataSpec) -> list[Dataset]:
        """The other data sets on which the protocol of a set measures its students.

        Args:
          meta: of the set.
          data: of the set; where targets lie if the protocol does not say.

        Raises:
          InputError: a target cannot be had, or the set's images are no squares.
        """
        specs = target_specs(meta.protocol, data, meta.image_shape)
        return [self.load(spec) for spec in specs]

    def site(self, plan: Plan) -> Site:
        """Where what a method needs is prepared."""
        mesh, data = plan.mesh, plan.config.data
        return Site(
            cache=self.cache and self.cache / "prepared",
            say=self.say,
            together=agreement.together(),
            drive=on_mesh(mesh, self.loop),
            unsaved_drive=dataclasses.replace(self, workdir=None).loop,
            shard=partial(shard_rows, mesh),
            group=partial(student_group, self.config.run),
            view_budget=data.view_budget,
            expert_budget=data.expert_budget,
        )

    def claim(self, dataset: Dataset, **content: str) -> RunReport | None:
        """Makes the work directory the run's own; its report, if it is finished.

        Args:
          dataset: the run's data.
          **content: identifies other inputs, such as a set that is judged.

        Raises:
          InputError: as `workdir.claim`.
        """
        workdir.claim(self.folder, self.config, dataset, **content)
        report = reports.read(self.folder)
        if report is not None:
            self.say(f"{self.folder} is finished; --overwrite starts anew")
        return report

    def measure(
        self,
        sets: Sequence[Distilled],
        dataset: Dataset,
        targets: Sequence[Dataset] = (),
    ) -> Report:
        """Judges sets by fresh students, one each, or a single set by as many as asked.

        Args:
          sets: one, or those of several seeds.
          dataset: real data.
          targets: other data on which every student is measured too.

        Raises:
          InputError: as `jaxdd.evaluation.evaluate`.
        """
        count = len(sets) if len(sets) > 1 else self.config.students
        store: Any = None
        if self.workdir is not None:
            store = workdir.JsonStore(self.folder / "evaluation.json")
        return evaluate(
            sets,
            dataset,
            seeds=self.config.numbered(count),
            drive=self.loop,
            store=store,
            targets=targets,
            group=student_group(self.config.run, count),
        )


def make_context(
    config: Options, say: Say = lambda line: None, workdir: Path | None = None
) -> RunContext:
    """The context of a run with its cache and its bars.

    Args:
      config: of the run.
      say: told in one line what happens.
      workdir: the work directory, if anything is to be kept.
    """
    bars = data_bars(config.run.progress)
    return RunContext(config, workdir, cache_folder(config), say, bars)
