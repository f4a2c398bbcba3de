"""What a run does with each kind of feed; the batch of a step, drawn inside jit.

A batch is a pure function of a key and the step number. No state, so a run can stop
and go on anywhere, and no permutation is ever stored.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import augment, rng, whiten
from jaxdd.augment.views import apply_view
from jaxdd.base import (
    Array,
    Assets,
    Batch,
    Corpus,
    Feed,
    Key,
    Nothing,
    PerClass,
    Segment,
    Segments,
    Stream,
    Uniform,
)
from jaxdd.errors import InputError
from jaxdd.records import ExpertsNeed, Need, Views
from jaxdd.training.batches import altered

__all__ = [
    "KINDS",
    "Kind",
    "Reader",
    "check",
    "check_epochs",
    "draw_segments",
    "sample",
    "segment",
    "stream",
    "target_epochs",
]

_STREAM = 0x66656564  # beyond any step: methods derive fold_in(key, step) from this key

Reader = Callable[[np.ndarray, np.ndarray, Sequence[int]], np.ndarray]
"""(expert [n], epoch [n], offsets) -> snapshots [n, offsets, p], float32, no JAX."""


def sample(
    feed: Feed,
    corpus: Corpus,
    assets: Assets,
    key: Key,
    step: Array | int,
    streamed: Any = None,
) -> Batch:
    """The batch of one step, whitened.

    `Uniform` goes through the corpus in a new order every epoch and leaves out the
    last n % batch rows of that order. `PerClass` draws distinct rows of every class,
    fields [k, min(batch, n_max), ...] with n_max the size of the largest class.
    `Segments` has no images, only pieces of the experts' trajectories in `extra`.

    Args:
      feed: what to draw; static.
      corpus: the training split.
      assets: holds the teacher where the feed's target is its output.
      key: constant over the run.
      step: int32 [], may be traced.
      streamed: the step's row of the feed's `stream`, where there is one.

    Raises:
      InputError: the batch is smaller than 1.
    """
    step = jnp.asarray(step, jnp.int32)
    batch = KINDS[type(feed)].sample(feed, corpus, assets, key, step, streamed)
    return batch if isinstance(feed, Nothing) else batch._replace(step=step)


def check(feed: Feed, needs: Sequence[Need]) -> None:
    """Refuses a feed that its data or what is prepared for it cannot serve.

    Raises:
      InputError: a batch smaller than 1, or pieces of trajectories beyond the experts'.
    """
    KINDS[type(feed)].check(feed, needs)


def stream(
    feed: Feed, assets: Assets, readers: Mapping[str, Reader], key: Key
) -> Stream | None:
    """What the steps of a run read on the host, for the same batches as on the device.

    Args:
      feed: says what a step consumes.
      assets: prepared.
      readers: of assets that do not lie on the device, by name.
      key: of the run.

    Returns:
      The stream, or None where nothing is to be read.
    """
    return KINDS[type(feed)].stream(feed, assets, readers, key)


def _without_images(*_: Any) -> Batch:
    return Batch(image=None, target=None, index=None, weight=None)  # type: ignore


def _check_batch(feed: Any, needs: Sequence[Need] = ()) -> None:
    del needs
    if feed.batch < 1:
        raise InputError(f"the batch is {feed.batch}; it must be at least 1")


# Pieces of experts' trajectories ---------------------------------------------------


def _sample_segments(
    feed: Segments,
    corpus: Corpus,
    assets: Assets,
    key: Key,
    step: Array,
    streamed: Segment | None,
) -> Batch:
    del corpus
    if streamed is None:
        rows = draw_segments(feed, key, step, assets[feed.name].last.shape[0])
        streamed = segment(feed, assets[feed.name].snapshots, *rows)
    return _without_images()._replace(extra=streamed)


def _check_segments(feed: Segments, needs: Sequence[Need]) -> None:
    for need in needs:
        if isinstance(need, ExpertsNeed) and need.name == feed.name:
            check_epochs(need.experts.epochs, last=feed.last, ahead=feed.epochs)


def check_epochs(num_epochs: int, *, last: int, ahead: int) -> None:
    """Refuses pieces that reach beyond what is recorded.

    Args:
      num_epochs: of the trajectories.
      last: the latest start is the epoch before it.
      ahead: epochs from the start to the furthest target.

    Raises:
      InputError: a start or a target beyond the last snapshot.
    """
    most = num_epochs - ahead + 1
    if last > num_epochs:
        raise InputError(
            f"starts up to epoch {last - 1} are asked for, and the experts have "
            f"{num_epochs} epochs; lower the last start epoch to at most {most}, or "
            "raise experts.epochs"
        )
    if last - 1 + ahead > num_epochs:
        raise InputError(
            f"a piece of {ahead} epochs from epoch {last - 1} ends at epoch "
            f"{last - 1 + ahead}, and the experts have {num_epochs}; lower the last "
            f"start epoch to at most {most}, match fewer epochs, or raise "
            "experts.epochs"
        )


def _stream_segments(
    feed: Segments, assets: Assets, readers: Mapping[str, Reader], key: Key
) -> Stream | None:
    if (read := readers.get(feed.name)) is None:
        return None
    num_experts = assets[feed.name].last.shape[0]
    draw = jax.jit(jax.vmap(lambda step: draw_segments(feed, key, step, num_experts)))
    ahead = (0, *target_epochs(feed))

    def rows(first: int, end: int) -> Segment:
        expert, epoch = map(np.asarray, draw(np.arange(first, end, dtype=np.int32)))
        pieces = read(expert, epoch, ahead)
        return Segment(pieces[..., 0, :], pieces[..., 1:, :], epoch, expert)  # type: ignore

    return rows


def draw_segments(
    feed: Segments, key: Key, step: Array | int, num_experts: int
) -> tuple[Array, Array]:
    """Which pieces of the experts' trajectories a step gets.

    Args:
      feed: how they are drawn.
      key: constant over the run. step: int32 [], may be traced.
      num_experts: how many there are.

    Returns:
      The experts and the epochs of the starts, both int32 [meta_batch].
    """
    key_order, key_epoch = jax.random.split(jax.random.fold_in(key, _STREAM))
    step = jnp.asarray(step, jnp.int32)
    position = step * feed.meta_batch + jnp.arange(feed.meta_batch, dtype=jnp.int32)

    def expert(place: Array) -> Array:
        order = jax.random.fold_in(key_order, place // num_experts)
        return rng.permuted(order, place % num_experts, num_experts)

    last: Array | int = feed.last
    if feed.ramp_steps:
        done = (feed.last - feed.ramp_from) * step // feed.ramp_steps
        last = jnp.minimum(feed.ramp_from + done, feed.last)
    epoch = jax.random.randint(
        jax.random.fold_in(key_epoch, step), (feed.meta_batch,), feed.first, last
    )
    return jax.vmap(expert)(position), epoch.astype(jnp.int32)


def target_epochs(feed: Segments) -> tuple[int, ...]:
    """Epochs from the start of a piece to each of its targets."""
    return tuple(range(1, feed.epochs + 1)) if feed.every else (feed.epochs,)


def segment(feed: Segments, snapshots: Array, expert: Array, epoch: Array) -> Segment:
    """The pieces themselves.

    Args:
      feed: gives the distances from start to targets.
      snapshots: [e,epochs+1,p]. expert, epoch: int32 [n].
    """
    ahead = jnp.asarray(target_epochs(feed))
    target = snapshots[expert[:, None], epoch[:, None] + ahead[None]]
    return Segment(snapshots[expert, epoch], target, epoch, expert)


# Rows of the corpus ----------------------------------------------------------------


def _sample_uniform(
    feed: Uniform, corpus: Corpus, assets: Assets, key: Key, step: Array, _: Any
) -> Batch:
    _check_batch(feed)
    key_order, key_view = jax.random.split(jax.random.fold_in(key, _STREAM))
    index = rng.epoch_rows(key_order, step, feed.batch, corpus.size)
    view: Array | None = None
    if feed.views.count > 1:
        key_view = jax.random.fold_in(key_view, step)
        view = jax.random.randint(key_view, index.shape, 0, feed.views.count, jnp.int32)
    image = _whitened(corpus, index, view, feed.views)
    return Batch(
        image=image,
        target=_target(feed, corpus, assets, index, view),
        index=index,
        weight=jnp.ones(index.shape, image.dtype),
        view=view,
    )


def _sample_per_class(
    feed: PerClass, corpus: Corpus, assets: Assets, key: Key, step: Array, _: Any
) -> Batch:
    del assets
    _check_batch(feed)
    key = jax.random.fold_in(jax.random.fold_in(key, _STREAM), step)
    classes, largest = corpus.class_index.shape
    position = jnp.arange(min(feed.batch, largest), dtype=jnp.int32)

    def draw(number: Array, rows: Array, count: Array) -> tuple[Array, Array]:
        valid = position < count
        order = rng.permuted(
            jax.random.fold_in(key, number),
            jnp.where(valid, position, 0),
            jnp.maximum(count, 1),
        )
        return rows[order], valid

    numbers = jnp.arange(classes)
    index, valid = jax.vmap(draw)(numbers, corpus.class_index, corpus.class_count)
    image = _whitened(corpus, index, None, Views(), partial(_altered, feed, key))
    return Batch(
        image=image,
        target=corpus.label[index],
        index=index,
        weight=valid.astype(image.dtype),
    )


def _whitened(
    corpus: Corpus,
    index: Array,
    view: Array | None,
    views: Views,
    alter: Callable[[Array], Array] = lambda unit: unit,
) -> Array:
    unit = whiten.to_unit(corpus.image[index], corpus.whitening.dtype)
    if view is not None:
        unit = apply_view(unit, view, views)
    return whiten.apply(corpus.whitening, alter(unit))


def _altered(feed: PerClass, key: Key, unit: Array) -> Array:
    """Images [k,n,h,w,c], a share of them augmented."""
    if augment.is_identity(feed.augment) or not feed.share:
        return unit
    key_share, key_augment = jax.random.split(jax.random.fold_in(key, _STREAM))
    flat = unit.reshape(-1, *unit.shape[2:])
    changed = altered(feed.augment, key_augment, flat)
    chosen = jax.random.bernoulli(key_share, feed.share, (len(flat), 1, 1, 1))
    return jnp.where(chosen, changed, flat).reshape(unit.shape)


def _target(
    feed: Uniform, corpus: Corpus, assets: Assets, index: Array, view: Array | None
) -> Array | None:
    if feed.target == "label":
        return corpus.label[index]
    table = assets["teacher"].table
    if table is None:
        return None
    row = table[0 if view is None else view, index]
    return row.astype(jnp.promote_types(row.dtype, jnp.float32))


class Kind(NamedTuple):
    """All that a run does with feeds of one kind.

    `sample(feed, corpus, assets, key, step, streamed)`, `check(feed, needs)` and
    `stream(feed, assets, readers, key)`, as the functions of these names.
    """

    sample: Callable[..., Batch]
    check: Callable[..., None] = lambda *_: None
    stream: Callable[..., Stream | None] = lambda *_: None


KINDS: dict[type, Kind] = {
    Nothing: Kind(_without_images),
    Uniform: Kind(_sample_uniform, _check_batch),
    PerClass: Kind(_sample_per_class, _check_batch),
    Segments: Kind(_sample_segments, _check_segments, _stream_segments),
}
"""A further kind of feed is a row here, and its record in `jaxdd.records.feeds`."""
