"""From a configuration and its data to a method that is ready to run."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxdd import artefact, methods
from jaxdd.base import (
    Assets,
    Corpus,
    Dataset,
    Distilled,
    Distiller,
    Drive,
    Key,
    Method,
    Metrics,
    State,
    Streamed,
    Synthetic,
    Task,
)
from jaxdd.data import feeds
from jaxdd.devices.mesh import (
    make_mesh,
    memory_budget,
    replicate,
    shard_batch,
    to_local_device,
    use_mesh,
)
from jaxdd.errors import InputError, check_choices
from jaxdd.prepare import Assembly, needs
from jaxdd.records import Meta, TeacherNeed
from jaxdd.report import environment
from jaxdd.run.config import RunConfig, identity, run_hash

__all__ = [
    "Plan",
    "distil",
    "key_of",
    "make_plan",
    "package",
]

Data = tuple[Any, ...]  # Corpus, Assets, and where they are streamed the step's row
Step = Callable[[State, Data], tuple[State, Metrics]]


class Plan(NamedTuple):
    """A method bound to its data; `advance` and `warm` are the same for all seeds."""

    config: RunConfig
    method: Method
    dataset: Dataset
    task: Task
    distiller: Distiller
    advance: Step
    warm: Step | None
    mesh: Mesh | None


def make_plan(config: RunConfig, dataset: Dataset) -> Plan:
    """Binds the method to the data.

    Raises:
      InputError: a setting has none of the values that its type lists, the size asked
        for does not fit the data, or the method refuses.
    """
    method = methods.get(config.method)
    check_choices(config)
    task = _task(config, method, dataset.train)
    distiller = method.build(task, config.distill)
    feeds.check(distiller.feed, distiller.needs)
    needs.check(distiller.needs, dataset.train)
    mesh = _mesh(config.run.devices)
    return Plan(
        config,
        method,
        dataset,
        task,
        distiller,
        _advance(distiller, mesh),
        _warm(distiller),
        mesh,
    )


def _mesh(devices: int) -> Mesh | None:
    there = jax.device_count()
    if not 0 <= devices <= there:
        raise InputError(f"run.devices={devices}: there are {there}; 0 means all")
    if jax.process_count() > 1 and devices not in (0, there):
        raise InputError(
            f"run.devices={devices}: a run of several processes uses all {there}"
            " devices; give --run.devices 0"
        )
    count = devices or there
    return make_mesh(data=count) if count > 1 else None


def _advance(distiller: Distiller, mesh: Mesh | None) -> Step:
    """One outer step with its sampling; the same function object for all seeds."""

    def advance(state: State, data: Data) -> tuple[State, Metrics]:
        corpus, assets, *streamed = data
        key, step = state.key, state.step
        batch = feeds.sample(distiller.feed, corpus, assets, key, step, *streamed)
        with use_mesh(mesh):
            return distiller.step(state, shard_batch(mesh, batch), assets)

    return advance


def _warm(distiller: Distiller) -> Step | None:
    warm = distiller.warm
    if warm is None or not distiller.warm_steps:
        return None
    return lambda state, data: (warm(state, data[1]), {})


def key_of(seed: int) -> Key:
    """The key of a distillation, apart from those of the students of its seed."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(b"distill"))


def distil(
    plan: Plan, prepared: Assembly, seed: int, drive: Drive, part: str = ""
) -> tuple[Synthetic, Metrics]:
    """Runs one distillation to its end.

    Args:
      plan: the method and its data.
      prepared: what it needs.
      seed: of this distillation.
      drive: who runs the steps.
      part: added to the names of the stages, such as "/seed0".

    Returns:
      The set, and the metrics of all steps.
    """
    distiller, corpus, assets = plan.distiller, plan.dataset.train, prepared.assets
    # Beginning and end run on one device of each process, like any plain JAX code.
    state = distiller.init(key_of(seed), corpus, assets)
    data: Any = replicate(plan.mesh, (corpus, assets))
    if plan.warm is not None:
        steps = distiller.warm_steps
        state, _ = drive(plan.warm, state, steps, data, stage=f"warm{part}")
    metrics: Metrics = {}
    if steps := plan.task.num_steps:
        key = to_local_device(state.key)
        stream = feeds.stream(distiller.feed, assets, prepared.readers, key)
        data = data if stream is None else Streamed(data, stream)
        state, metrics = drive(plan.advance, state, steps, data, stage=f"distill{part}")
    return distiller.export(to_local_device(state), assets), metrics


def package(plan: Plan, assets: Assets, synthetic: Synthetic, seed: int) -> Distilled:
    """The set with everything that its use and its re-measurement need."""
    config, corpus = plan.config, plan.dataset.train
    teachers = [n for n in plan.distiller.needs if isinstance(n, TeacherNeed)]
    meta = Meta(
        method=config.method,
        dataset=corpus.name,
        dataset_hash=corpus.hash,
        image_shape=corpus.image_shape,
        num_classes=corpus.num_classes,
        class_names=corpus.class_names,
        label_kind=_label_kind(plan.method, synthetic),
        protocol=config.evaluate,
        data=config.data,
        teacher=teachers[0].teacher if teachers else None,
        preset=config.preset,
        config=identity(config),
        config_hash=run_hash(config),
        input_space=plan.distiller.input_space,
        seed=seed,
        versions=environment.versions(),
        image_floats=plan.distiller.image_floats,
    )
    modules = {need.name: assets[need.name].variables for need in teachers}
    made = Distilled(synthetic, meta, corpus.whitening, modules)
    ledger = artefact.storage(made)
    return made._replace(meta=dataclasses.replace(meta, storage=ledger))


def _label_kind(method: Method, synthetic: Synthetic) -> Any:
    if method.targets == "representation":
        return "representation"
    hard = jnp.issubdtype(synthetic.target.dtype, jnp.integer)
    return "hard" if hard else "soft"


def _task(config: RunConfig, method: Method, corpus: Corpus) -> Task:
    size = _size(config, corpus)
    if size > corpus.size:
        raise InputError(
            f"{_asked(config)} asks for {size:,} images, but {corpus.name} has only"
            f" {corpus.size:,} training images; ask for fewer"
        )
    return Task(
        image_shape=corpus.image_shape,
        num_classes=corpus.num_classes,
        size=size,
        ipc=config.ipc,
        num_steps=0 if method.one_shot else config.run.steps,
        train_size=corpus.size,
        whitening=corpus.whitening.kind,
        dtype=config.run.precision,
        memory=memory_budget(config.run.memory_budget),
    )


def _asked(config: RunConfig) -> str:
    return f"size={config.size}" if config.ipc is None else f"ipc={config.ipc}"


def _size(config: RunConfig, corpus: Corpus) -> int:
    if (config.ipc is None) == (config.size is None):
        raise InputError(
            f"ipc={config.ipc}, size={config.size}: give exactly one of ipc (images per"
            " class) and size (images in all)"
        )
    if config.size is not None:
        return config.size
    assert config.ipc is not None
    if not corpus.num_classes:
        raise InputError(
            f"ipc={config.ipc} counts images per class, but {corpus.name} has no"
            " labels; give data with labels (photos: one folder a class), or size with"
            " a method that needs none, such as krr_ssl"
        )
    return config.ipc * corpus.num_classes
