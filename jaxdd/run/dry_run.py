"""`--dry-run`: the resolved settings and what the run will cost; writes nothing.

The real pipeline is walked with a drive that compiles and times each stage for a moment
instead of running it, on arrays of the right shape.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxdd.base import Assets, Dataset, ExpertsAsset, PyTree, TeacherAsset
from jaxdd.data.load import load
from jaxdd.devices.mesh import on_mesh, shard_rows
from jaxdd.evaluation import evaluate
from jaxdd.loop import cost
from jaxdd.loop.chunk import Step, chunk_program
from jaxdd.networks.teacher import represent
from jaxdd.prepare.expert_course import course_of
from jaxdd.prepare.ssl import train_teacher
from jaxdd.prepare.views import table_dtype
from jaxdd.records import Experts, ExpertsNeed, TeacherNeed
from jaxdd.report import console
from jaxdd.run.config import RunConfig, identity
from jaxdd.run.judging import with_protocol
from jaxdd.run.plan import Plan, distil, make_plan, package
from jaxdd.run.targets import load_targets

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


def dry_run(
    config: RunConfig, *, announce: Callable[[str], None] = lambda line: None
) -> None:
    """Prints the settings and the estimate.

    Raises:
      InputError: as the run itself would.
    """
    dataset = load(config.data, cache=None)
    config = with_protocol(config, config.evaluate, dataset.train)
    announce("resolved settings:")
    for name, value in identity(config).items():
        announce(f"  {name} = {value}")
    announce("measuring each stage for a moment ...")
    stages, repeats = estimate(config, dataset, announce=announce)
    console.show(_table(stages, repeats))
    total = sum(s.compile_seconds + _times(s, repeats) for s in stages)
    announce(f"about {_time(total)} in all on this machine, nothing cached")


def estimate(
    config: RunConfig,
    dataset: Dataset,
    *,
    announce: Callable[[str], None] = lambda line: None,
) -> tuple[list[Estimate], dict[str, int]]:
    """What every stage costs, and how often each kind of stage runs.

    Args:
      config: the run.
      dataset: its data; only shapes and the initialisation depend on it.
      announce: told what the method has to say.

    Returns:
      One estimate per stage (evaluation: of the set's own row), and how often the
      stages run by the first part of their name.
    """
    plan, timing = make_plan(config, dataset), _Timing()
    for note in plan.distiller.notes:
        announce(note)
    assets = _assets(plan, timing)
    synthetic, _ = distil(plan, assets, config.seed, timing)
    made = package(plan, assets, synthetic, config.seed)
    if config.evaluate.kernels:  # they run no steps that could be timed for a moment
        announce("regressions by kernels are not in the estimate")
        protocol = dataclasses.replace(config.evaluate, kernels=())
        meta = dataclasses.replace(made.meta, protocol=protocol)
        made = made._replace(meta=meta)
    targets = load_targets(config.evaluate, config.data, plan.task.image_shape)
    evaluate(
        [made],
        dataset,
        seeds=[config.seed],
        drive=timing,
        baselines=False,
        targets=targets,
    )
    students = config.seeds if config.seeds > 1 else config.students
    repeats = {
        "target": 1,
        "experts": sum(
            need.experts.count
            for need in plan.distiller.needs
            if isinstance(need, ExpertsNeed) and need.experts.buffers is None
        ),
        "warm": config.seeds,
        "distill": config.seeds,
        "evaluate": students * _rows(plan),
    }
    return timing.stages, repeats


def _rows(plan: Plan) -> int:
    """How many students an evaluation trains: the set's and those beside it."""
    if plan.method.targets == "representation":
        return 5 if plan.config.evaluate.full else 4  # random, k-means, scratch, full
    return 3 if plan.config.ipc == 1 else 2  # random, class means


def _assets(plan: Plan, timing: _Timing) -> Assets:
    """Untrained teachers with empty tables; their training is timed."""
    assets: Assets = {}
    for need in plan.distiller.needs:
        if isinstance(need, TeacherNeed):
            corpus = plan.dataset.train
            variables, _ = train_teacher(
                need.teacher,
                corpus,
                drive=on_mesh(plan.mesh, timing),
                shard=partial(shard_rows, plan.mesh),
            )
            _, _, width = represent(need.teacher, corpus.image_shape)
            shape = (need.views.count, corpus.size, width)
            dtype = table_dtype(shape, plan.config.data.view_budget)
            table = () if dtype is None else jnp.zeros(shape, dtype)
            assets[need.name] = TeacherAsset(variables, table)
        if isinstance(need, ExpertsNeed):
            assets[need.name] = _untrained_experts(need.experts, plan, timing)
    return assets


def _untrained_experts(experts: Experts, plan: Plan, timing: _Timing) -> ExpertsAsset:
    """As many as fit the budget, but one at least; the training of one is timed."""
    course = course_of(experts, plan.dataset.train)
    state = jax.jit(course.run.init)(jax.random.key(0))
    steps = experts.epochs * course.epoch_steps
    timing(course.run.step, state, steps, course.data, stage="experts")
    start = ravel_pytree(state.variables.params)[0].astype(jnp.float32)
    shape = experts.epochs + 1, start.size
    fit = plan.config.data.expert_budget // (4 * math.prod(shape))
    count = max(1, min(experts.count, fit))
    # No two snapshots alike, for the distances that objectives divide by.
    pace = jnp.linspace(1, 2, shape[0])[:, None]
    snapshots = jnp.broadcast_to(pace * start[None], (count, *shape))
    return ExpertsAsset(snapshots[:, -1], snapshots)


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
