"""Checks of a set on images that are held for it, and the best set so far.

A method that keeps its best set is one whose memory holds it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdd import whiten
from jaxdd.base import (
    Array,
    Assets,
    Batch,
    Corpus,
    Distiller,
    Key,
    Metrics,
    PyTree,
    State,
    Synthetic,
    Uniform,
)
from jaxdd.errors import InputError

__all__ = ["Held", "held_rows", "keep_best"]

_STREAM = 0x68656C64  # beyond any step: methods derive fold_in(key, step) from this key

Judge = Callable[[PyTree, Batch, Assets, Key], Array]
"""(parameters, held images, assets, constant key) -> loss []."""


class Held(NamedTuple):
    """The memory of a method that keeps its best set."""

    batch: Batch  # the held images, constant
    params: PyTree  # the best so far
    loss: Array  # float [], theirs
    step: Array  # int32 [], after how many steps
    stopped: Array  # bool []
    metrics: Metrics  # of the last step that was made


def keep_best(
    distiller: Distiller,
    judge: Judge,
    finish: Callable[[PyTree, Assets, Key], Synthetic],
    *,
    per_class: int,
    every: int,
    patience: int,
) -> Distiller:
    """A method that ends with its best set on held images of the training split.

    At step 0 and after every `every` steps the set is judged, always on the same
    images and draws. Once `patience` steps have brought nothing better, steps change
    nothing and cost nothing, and repeat their metrics.

    Args:
      distiller: without memory of its own, on a `Uniform` feed.
      judge: the loss of a set.
      finish: makes the finished set.
      per_class: held images of each class, drawn with replacement.
      every: steps between checks.
      patience: steps without a better set before it stops; 0 = never.

    Returns:
      The method; its metrics also have `held_out`, the best loss so far.

    Raises:
      InputError: a number out of range.
    """
    if min(per_class, every) < 1 or patience < 0:
        raise InputError(
            f"distill.held_out={per_class}, distill.check_every={every}, "
            f"distill.patience={patience}: the first two are at least 1, patience 0 "
            "(never stop) or more"
        )

    def judged(params: PyTree, held: Batch, assets: Assets, key: Key) -> Array:
        return judge(params, held, assets, jax.random.fold_in(key, _STREAM))

    def init(key: Key, corpus: Corpus, assets: Assets) -> State:
        key_inner, key_held = jax.random.split(key)
        state = distiller.init(key_inner, corpus, assets)
        held = held_rows(key_held, corpus, per_class)
        loss = jax.jit(judged)(state.params, held, assets, state.key)
        like = _like(distiller.feed, corpus)
        shapes = jax.eval_shape(distiller.step, state, like, assets)[1]
        metrics = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        best = Held(
            *(held, state.params, loss, jnp.int32(0), jnp.asarray(False), metrics)
        )
        return state._replace(memory=best)

    def step(state: State, batch: Batch, assets: Assets) -> tuple[State, Metrics]:
        def make() -> tuple[State, Held]:
            best: Held = state.memory
            new, metrics = distiller.step(state._replace(memory=()), batch, assets)
            best = best._replace(metrics=metrics)
            return new, jax.lax.cond(
                new.step % every == 0,
                lambda: _better(
                    best, new, judged(new.params, best.batch, assets, new.key), patience
                ),
                lambda: best,
            )

        def skip() -> tuple[State, Held]:
            return state._replace(memory=(), step=state.step + 1), state.memory

        new, best = jax.lax.cond(state.memory.stopped, skip, make)
        return new._replace(memory=best), {**best.metrics, "held_out": best.loss}

    def export(state: State, assets: Assets) -> Synthetic:
        return finish(state.memory.params, assets, state.key)

    return distiller._replace(init=init, step=step, export=export)


def _better(best: Held, state: State, loss: Array, patience: int) -> Held:
    """The memory after a check."""
    wins = loss < best.loss
    params, least, step = jax.tree.map(
        lambda new, old: jnp.where(wins, new, old),
        (state.params, loss.astype(best.loss.dtype), state.step),
        (best.params, best.loss, best.step),
    )
    late = state.step > step + patience if patience else jnp.asarray(False)
    return best._replace(params=params, loss=least, step=step, stopped=late)


def held_rows(key: Key, corpus: Corpus, per_class: int) -> Batch:
    """Whitened images [k n,h,w,c] of every class, drawn with replacement."""
    classes, _ = corpus.class_index.shape
    shape = (classes, per_class)
    place = jax.random.randint(key, shape, 0, corpus.class_count[:, None])
    index = jnp.take_along_axis(corpus.class_index, place, axis=1).reshape(-1)
    unit = whiten.to_unit(corpus.image[index], corpus.whitening.dtype)
    image = whiten.apply(corpus.whitening, unit)
    return Batch(image, corpus.label[index], index, jnp.ones(index.shape, image.dtype))


def _like(feed: Any, corpus: Corpus) -> Batch:
    """The shapes of a batch of labelled images."""
    assert isinstance(feed, Uniform), "sets are judged against uniform batches"
    size, dtype = min(feed.batch, corpus.size), corpus.whitening.dtype
    whole = jax.ShapeDtypeStruct((), jnp.int32)
    rows = jax.ShapeDtypeStruct((size,), jnp.int32)
    image = jax.ShapeDtypeStruct((size, *corpus.image_shape), dtype)
    weight = jax.ShapeDtypeStruct((size,), dtype)
    return Batch(image, rows, rows, weight, step=whole)  # pyright: ignore
