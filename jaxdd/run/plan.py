"""From a configuration and its data to a method that is ready to run."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxdd import artefact, methods
from jaxdd.base import (
    Array,
    Assets,
    Corpus,
    Dataset,
    Distilled,
    Distiller,
    Drive,
    Key,
    Method,
    Metrics,
    Segment,
    Segments,
    State,
    Synthetic,
    Task,
)
from jaxdd.data.feeds import draw_segments, outside_batch, sample, target_epochs
from jaxdd.devices.mesh import (
    here,
    make_mesh,
    memory_budget,
    replicate,
    set_around,
    shard_batch,
)
from jaxdd.errors import InputError, check_choices
from jaxdd.loop.ahead import Outside
from jaxdd.prepare import ExpertStore, check_epochs, open_store
from jaxdd.records import ExpertsNeed, Meta, TeacherNeed
from jaxdd.report import environment
from jaxdd.run.config import RunConfig, identity, run_hash

__all__ = [
    "Plan",
    "distil",
    "key_of",
    "make_plan",
    "package",
    "seeds_of",
    "segments_outside",
]

Data = tuple[Corpus, Assets]
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
    _check_segments(distiller)
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


def _check_segments(distiller: Distiller) -> None:
    """Refuses pieces of trajectories that end after the experts' training."""
    feed = distiller.feed
    for need in distiller.needs:
        if isinstance(need, ExpertsNeed) and isinstance(feed, Segments):
            epochs = need.experts.epochs
            check_epochs(epochs, last=feed.last, ahead=feed.epochs)


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

    def advance(
        state: State, data: Data | tuple[Data, Segment]
    ) -> tuple[State, Metrics]:
        corpus, assets, pieces = _parts(data)
        if pieces is not None:  # read on the host
            batch = outside_batch(state.step, pieces)
        else:
            batch = sample(distiller.feed, corpus, assets, state.key, state.step)
        with set_around(mesh):
            return distiller.step(state, shard_batch(mesh, batch), assets)

    return advance


def _parts(data: Any) -> tuple[Corpus, Assets, Segment | None]:
    """Data of a step, with or without what `loop/ahead.py` has read for it."""
    if isinstance(data[1], Segment):
        (corpus, assets), pieces = data
        return corpus, assets, pieces
    return *data, None


def _warm(distiller: Distiller) -> Step | None:
    warm = distiller.warm
    if warm is None or not distiller.warm_steps:
        return None
    return lambda state, data: (warm(state, data[1]), {})


def seeds_of(config: RunConfig) -> list[int]:
    """One seed per distillation."""
    return [config.seed + i for i in range(config.seeds)]


def key_of(seed: int) -> Key:
    """The key of a distillation, apart from those of the students of its seed."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(b"distill"))


def distil(
    plan: Plan,
    assets: Assets,
    seed: int,
    drive: Drive,
    part: str = "",
    outside: Callable[[Key], Outside] | None = None,
) -> tuple[Synthetic, Metrics]:
    """Runs one distillation to its end.

    Args:
      plan: the method and its data.
      assets: what it needs, prepared.
      seed: of this distillation.
      drive: who runs the steps.
      part: added to the names of the stages, such as "/seed0".
      outside: what the steps of a run with this key read on the host; `drive` is then
        a `Loop`.

    Returns:
      The set, and the metrics of all steps.
    """
    # Beginning and end run on one device of each process, like any plain JAX code.
    state = plan.distiller.init(key_of(seed), plan.dataset.train, assets)
    data = replicate(plan.mesh, (plan.dataset.train, assets))
    if plan.warm is not None:
        steps = plan.distiller.warm_steps
        state, _ = drive(plan.warm, state, steps, data, stage=f"warm{part}")
    metrics: Metrics = {}
    if plan.task.num_steps:
        read = {} if outside is None else {"outside": outside(here(state.key))}
        state, metrics = drive(
            plan.advance,
            state,
            plan.task.num_steps,
            data,
            stage=f"distill{part}",
            **read,
        )
    return plan.distiller.export(here(state), assets), metrics


def package(plan: Plan, assets: Assets, synthetic: Synthetic, seed: int) -> Distilled:
    """The set with everything that its use and its re-measurement need."""
    config, corpus = plan.config, plan.dataset.train
    needs = [n for n in plan.distiller.needs if isinstance(n, TeacherNeed)]
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
        teacher=needs[0].teacher if needs else None,
        preset=config.preset,
        config=identity(config),
        config_hash=run_hash(config),
        input_space=getattr(config.distill, "init_space", "whitened"),
        seed=seed,
        versions=environment.versions(),
        image_floats=plan.distiller.image_floats,
    )
    modules = {need.name: assets[need.name].variables for need in needs}
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


def segments_outside(
    plan: Plan, assets: Assets, cache: Path
) -> Callable[[Key], Outside] | None:
    """What the steps of a run read from a store of trajectories.

    They are the pieces that `jaxdd.data.feeds.sample` takes from the device where the
    trajectories lie there.

    Args:
      plan: its feed says what a step consumes.
      assets: prepared.
      cache: the folder in which they were prepared.

    Returns:
      A reader for the key of a run, or None where nothing is to be read.
    """
    feed = plan.distiller.feed
    if not isinstance(feed, Segments):
        return None
    if not isinstance(assets[feed.name].snapshots, tuple):
        return None
    need = next(n for n in plan.distiller.needs if n.name == feed.name)
    assert isinstance(need, ExpertsNeed)
    store = open_store(need.experts, plan.dataset.train, cache)
    return partial(_reader, feed, store)


def _reader(feed: Segments, store: ExpertStore, key: Key) -> Outside:
    draw = jax.jit(
        jax.vmap(lambda step: draw_segments(feed, key, step, store.num_experts))
    )
    ahead = (0, *target_epochs(feed))

    def read(first: int, end: int) -> Segment:
        rows: tuple[Array, Array] = draw(np.arange(first, end, dtype=np.int32))
        expert, epoch = map(np.asarray, rows)
        found = store.read(expert, epoch, ahead)
        return Segment(found[..., 0, :], found[..., 1:, :], epoch, expert)  # type: ignore

    return read
