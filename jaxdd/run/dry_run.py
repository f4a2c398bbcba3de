"""`--dry-run`: the resolved settings and what the run will cost; writes nothing.

The real pipeline is walked with a drive that compiles and times each stage for a moment
instead of running it, on arrays of the right shape.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdd.base import Dataset, PyTree
from jaxdd.devices.mesh import on_mesh
from jaxdd.evaluation import evaluate, rows_beside
from jaxdd.loop import cost
from jaxdd.loop.chunk import Step, chunk_program
from jaxdd.prepare import pretend_all, runs
from jaxdd.records import Regression
from jaxdd.report import console
from jaxdd.run.config import RunConfig, identity
from jaxdd.run.context import RunContext, Say
from jaxdd.run.judging import with_protocol
from jaxdd.run.plan import distil, make_plan, package

__all__ = ["Estimate", "dry_run", "estimate"]

_BUDGET = 1.0  # seconds for which a stage is timed


class Estimate(NamedTuple):
    """What one stage will cost."""

    stage: str
    steps: int
    seconds_per_step: float
    compile_seconds: float
    flops: int  # of one step
    memory: cost.Memory | None  # of the compiled chunk; not for students


class _Timing:
    """A `Drive` that measures a stage and returns the state it was given."""

    def __init__(self) -> None:
        self.stages: list[Estimate] = []

    def __call__(
        self, step: Step, state: Any, num_steps: int, data: PyTree, *, stage: str
    ) -> tuple[Any, dict[str, np.ndarray]]:
        shapes = jax.eval_shape(step, state, data)[1]
        if num_steps:
            self.stages.append(_measure(step, state, num_steps, data, stage))
        zeros = {
            name: np.zeros((num_steps, *leaf.shape), leaf.dtype)
            for name, leaf in shapes.items()
        }
        return state, zeros


def _measure(
    step: Step, state: Any, num_steps: int, data: PyTree, stage: str
) -> Estimate:
    speed = cost.seconds_per_step(step, state, data, budget=_BUDGET)
    memory = None
    if not stage.startswith("evaluate"):  # a second compilation, which takes its time
        program = chunk_program(step, 1)
        memory = cost.memory(program, state, data, np.int32(1), donate=(0,))
    flops = cost.count_flops(step, state, data)
    return Estimate(
        stage, num_steps, speed.seconds, speed.compile_seconds, flops, memory
    )


def dry_run(config: RunConfig, *, say: Say = lambda line: None) -> None:
    """Prints the settings and the estimate.

    Raises:
      InputError: as the run itself would.
    """
    context = RunContext(config, say=say)
    dataset = context.load(config.data)
    context = context.of(with_protocol(config, dataset.train))
    say("resolved settings:")
    for name, value in identity(context.config).items():
        say(f"  {name} = {value}")
    say("measuring each stage for a moment ...")
    stages, repeats = estimate(context, dataset)
    console.show(_table(stages, repeats))
    total = sum(s.compile_seconds + _times(s, repeats) for s in stages)
    say(f"about {_time(total)} in all on this machine, nothing cached")


def estimate(
    context: RunContext, dataset: Dataset
) -> tuple[list[Estimate], dict[str, int]]:
    """What every stage costs, and how often each kind of stage runs.

    Args:
      context: of the run; told what the method has to say.
      dataset: its data; only shapes and the initialisation depend on it.

    Returns:
      One estimate per stage (evaluation: of the set's own row), and how often the
      stages run by the first part of their name.
    """
    config = context.config
    assert isinstance(config, RunConfig)
    plan, timing = make_plan(config, dataset), _Timing()
    needs = plan.distiller.needs
    for note in plan.distiller.notes:
        context.say(note)
    drives = {"drive": on_mesh(plan.mesh, timing), "unsaved_drive": timing}
    prepared = pretend_all(needs, dataset, context.site(plan)._replace(**drives))
    synthetic, _ = distil(plan, prepared, config.seed, timing)
    distilled = package(plan, prepared.assets, synthetic, config.seed)
    if config.evaluate.regression.kernels:  # they run no steps that could be timed
        context.say("regressions by kernels are not in the estimate")
        protocol = dataclasses.replace(config.evaluate, regression=Regression())
        meta = dataclasses.replace(distilled.meta, protocol=protocol)
        distilled = distilled._replace(meta=meta)
    targets = context.targets(distilled.meta, config.data)
    judged = partial(evaluate, [distilled], dataset, seeds=[config.seed])
    judged(drive=timing, baselines=False, targets=targets)
    students = config.seeds if config.seeds > 1 else config.students
    rows = rows_beside([distilled], dataset, targets)
    repeats = {"warm": config.seeds, "distill": config.seeds}
    return timing.stages, repeats | runs(needs) | {"evaluate": students * rows}


def _times(stage: Estimate, repeats: dict[str, int]) -> float:
    count = repeats.get(stage.stage.split("/")[0], 1)
    return count * stage.steps * stage.seconds_per_step


def _table(stages: list[Estimate], repeats: dict[str, int]) -> Any:
    heads = ("stage", "steps", "runs", "ms/step", "compile", "MFLOP", "MB", "time")
    return console.table(heads, [_cells(stage, repeats) for stage in stages])


def _cells(stage: Estimate, repeats: dict[str, int]) -> tuple[str, ...]:
    memory = stage.memory and stage.memory.arguments + stage.memory.temporary
    return (
        _short(stage.stage),
        f"{stage.steps:,}",
        str(repeats.get(stage.stage.split("/")[0], 1)),
        f"{1e3 * stage.seconds_per_step:,.3g}",
        f"{stage.compile_seconds:.0f} s",
        f"{stage.flops / 1e6:,.3g}",
        "–" if memory is None else f"{memory / 1e6:,.3g}",
        _time(_times(stage, repeats)),
    )


def _short(stage: str) -> str:
    """A stage's first and last part, which tell the row: "evaluate: student"."""
    first, *others = stage.split("/")
    return f"{first}: {others[-1]}" if len(others) > 1 else first


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
