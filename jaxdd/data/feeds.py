"""Draws the batch of a step inside jit: a pure function of a key and the step number.

No state, so a run can stop and go on anywhere, and no permutation is ever stored.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

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
    PyTree,
    Segment,
    Segments,
    Uniform,
)
from jaxdd.errors import InputError
from jaxdd.records import Views
from jaxdd.training.batches import altered

__all__ = ["draw_segments", "outside_batch", "sample", "segment", "target_epochs"]

_STREAM = 0x66656564  # beyond any step: methods derive fold_in(key, step) from this key


def sample(
    feed: Feed, corpus: Corpus, assets: Assets, key: Key, step: Array | int
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

    Raises:
      InputError: the batch is smaller than 1.
    """
    step = jnp.asarray(step, jnp.int32)
    if isinstance(feed, Nothing):
        return _empty()
    if isinstance(feed, Segments):
        rows = draw_segments(feed, key, step, assets[feed.name].last.shape[0])
        pieces = segment(feed, assets[feed.name].snapshots, *rows)
        return outside_batch(step, pieces)
    if feed.batch < 1:
        raise InputError(f"the batch is {feed.batch}; it must be at least 1")
    key = jax.random.fold_in(key, _STREAM)
    if isinstance(feed, PerClass):
        batch = _sample_per_class(feed, corpus, jax.random.fold_in(key, step))
    else:
        batch = _sample_uniform(feed, corpus, assets, key, step)
    return batch._replace(step=step)


def outside_batch(step: Array, extra: PyTree) -> Batch:
    """The batch of a step that consumes something else than real images."""
    return _empty()._replace(extra=extra, step=step)


def _empty() -> Batch:
    return Batch(image=(), target=(), index=(), weight=())  # type: ignore


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


def _sample_uniform(
    feed: Uniform, corpus: Corpus, assets: Assets, key: Key, step: Array | int
) -> Batch:
    key_order, key_view = jax.random.split(key)
    index = rng.epoch_rows(key_order, step, feed.batch, corpus.size)
    view: Array | tuple = ()
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


def _sample_per_class(feed: PerClass, corpus: Corpus, key: Key) -> Batch:
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
    image = _whitened(corpus, index, (), Views(), partial(_altered, feed, key))
    return Batch(
        image=image,
        target=corpus.label[index],
        index=index,
        weight=valid.astype(image.dtype),
    )


def _whitened(
    corpus: Corpus,
    index: Array,
    view: Array | tuple,
    views: Views,
    alter: Callable[[Array], Array] = lambda unit: unit,
) -> Array:
    unit = whiten.to_unit(corpus.image[index], corpus.whitening.dtype)
    if not isinstance(view, tuple):
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
    feed: Uniform, corpus: Corpus, assets: Assets, index: Array, view: Array | tuple
) -> Array | tuple:
    if feed.target == "label":
        return corpus.label[index]
    table = assets["teacher"].table
    if isinstance(table, tuple):
        return ()
    row = table[0 if isinstance(view, tuple) else view, index]
    return row.astype(jnp.promote_types(row.dtype, jnp.float32))
