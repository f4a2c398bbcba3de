"""Draws the batch of a step inside jit: a pure function of a key and the step number.

No state, so a run can stop and go on anywhere, and no permutation is ever stored.
"""

import jax
import jax.numpy as jnp

from jaxdd import rng, whiten
from jaxdd.augment.views import apply_view
from jaxdd.base import (
    Array,
    Assets,
    Batch,
    Corpus,
    Feed,
    InputError,
    Key,
    Nothing,
    PerClass,
    Uniform,
)
from jaxdd.records import Views

__all__ = ["sample"]

_STREAM = 0x66656564  # beyond any step: methods derive fold_in(key, step) from this key


def sample(
    feed: Feed, corpus: Corpus, assets: Assets, key: Key, step: Array | int
) -> Batch:
    """The batch of one step, whitened.

    `Uniform` goes through the corpus in a new order every epoch and leaves out the
    last n % batch rows of that order. `PerClass` draws distinct rows of every class,
    fields [k, min(batch, n_max), ...] with n_max the size of the largest class.

    Args:
      feed: what to draw; static.
      corpus: the training split.
      assets: holds the teacher where the feed's target is its output.
      key: constant over the run.
      step: int32 [], may be traced.

    Raises:
      InputError: the batch is smaller than 1.
    """
    if isinstance(feed, Nothing):
        return Batch(image=(), target=(), index=(), weight=())  # type: ignore
    if feed.batch < 1:
        raise InputError(f"the batch is {feed.batch}; it must be at least 1")
    key = jax.random.fold_in(key, _STREAM)
    if isinstance(feed, PerClass):
        return _sample_per_class(feed, corpus, jax.random.fold_in(key, step))
    return _sample_uniform(feed, corpus, assets, key, step)


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
    image = _whitened(corpus, index, (), Views())
    return Batch(
        image=image,
        target=corpus.label[index],
        index=index,
        weight=valid.astype(image.dtype),
    )


def _whitened(corpus: Corpus, index: Array, view: Array | tuple, views: Views) -> Array:
    unit = whiten.to_unit(corpus.image[index], corpus.whitening.dtype)
    if not isinstance(view, tuple):
        unit = apply_view(unit, view, views)
    return whiten.apply(corpus.whitening, unit)


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
