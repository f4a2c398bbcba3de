"""Reads the pieces of experts' trajectories that do not fit on the device."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import numpy as np

from jaxdd.base import Array, Assets, Key, Segment, Segments
from jaxdd.data.feeds import draw_segments, target_epochs
from jaxdd.prepare import ExpertStore, open_store
from jaxdd.records import ExpertsNeed
from jaxdd.run.ahead import Outside
from jaxdd.run.plan import Plan

__all__ = ["segments_outside"]


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
