"""Joins a decoder, an objective, a pool of networks and an optimiser into a method."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdd.base import (
    Array,
    Assets,
    Batch,
    Corpus,
    Decoder,
    Distiller,
    Feed,
    InputError,
    Key,
    Metrics,
    Nothing,
    Objective,
    Pool,
    PyTree,
    State,
    Synthetic,
    Variables,
)
from jaxdd.records import Need

__all__ = ["compose", "one_shot"]


class _Keys(NamedTuple):
    decode: Key
    draw: Key
    objective: Key
    update: Key


class _Parts(NamedTuple):
    decoder: Decoder
    objective: Objective
    pool: Pool
    outer: optax.GradientTransformation


def compose(
    decoder: Decoder,
    objective: Objective,
    pool: Pool,
    outer: optax.GradientTransformation,
    feed: Feed,
    needs: tuple[Need, ...] = (),
    *,
    update: Literal["joint", "per_class"] = "joint",
) -> Distiller:
    """A method from its parts.

    One step draws a network from the pool, takes the objective's gradient through the
    decoder, moves the parameters by one optimiser step, and lets the pool train on the
    new set.

    Args:
      decoder: parameters to synthetic set.
      objective: synthetic set and real batch to a scalar loss.
      pool: where the networks come from.
      outer: optimiser of the decoder's parameters.
      feed: what a step consumes.
      needs: what must be prepared before step 0.
      update: `per_class` makes one optimiser step per class, each from that class's
        rows only; the optimiser moves the whole tree each time, so momentum moves all
        classes, as sequential class loops in published code do. It needs a PerClass
        feed and has no single `gradient`.

    Returns:
      The distiller; its `gradient` is None for per-class updates.
    """

    if update not in ("joint", "per_class"):
        raise InputError(f"update={update!r}: choose 'joint' or 'per_class'")
    parts = _Parts(decoder, objective, pool, outer)
    move = _move_jointly if update == "joint" else _move_by_class

    def init(key: Key, corpus: Corpus, assets: Assets) -> State:
        key_params, key_pool, key_run = jax.random.split(key, 3)
        params = decoder.init(key_params, corpus, assets)
        synthetic = decoder.decode(params, assets, key_params)
        return State(
            step=jnp.zeros((), jnp.int32),
            key=key_run,
            params=params,
            opt=outer.init(params),
            pool=pool.init(key_pool, assets, synthetic),
        )

    def step(state: State, batch: Batch, assets: Assets) -> tuple[State, Metrics]:
        keys = _step_keys(state)
        index, variables = pool.draw(keys.draw, state.pool, assets)
        params, opt, metrics = move(parts, state, batch, variables, assets)
        synthetic = decoder.decode(params, assets, keys.decode)
        new = State(
            step=state.step + 1,
            key=state.key,
            params=params,
            opt=opt,
            pool=pool.update(keys.update, state.pool, index, synthetic, batch),
            memory=state.memory,
        )
        return new, metrics

    def export(state: State, assets: Assets) -> Synthetic:
        return decoder.decode(state.params, assets, state.key)

    def warm(state: State, assets: Assets) -> State:
        assert pool.warm is not None
        synthetic = decoder.decode(state.params, assets, state.key)
        pool_state = pool.warm(state.pool, synthetic)
        return State(
            state.step, state.key, state.params, state.opt, pool_state, state.memory
        )

    return Distiller(
        init=init,
        step=step,
        export=export,
        feed=feed,
        needs=needs,
        gradient=partial(_gradient, parts) if update == "joint" else None,
        warm=warm if pool.warm is not None else None,
        warm_steps=pool.warm_steps,
    )


def _loss(
    params: PyTree,
    parts: _Parts,
    batch: Batch,
    variables: Variables,
    assets: Assets,
    keys: _Keys,
    rows: Array | None = None,
) -> tuple[Array, Metrics]:
    """The objective of the decoded set, or of some of its rows."""
    synthetic = parts.decoder.decode(params, assets, keys.decode, rows)
    return parts.objective(synthetic, batch, variables, assets, keys.objective)


_loss_gradient = jax.grad(_loss, has_aux=True)


def _gradient(
    parts: _Parts, state: State, batch: Batch, assets: Assets
) -> tuple[PyTree, Metrics]:
    """The outer gradient before the optimiser."""
    keys = _step_keys(state)
    _, variables = parts.pool.draw(keys.draw, state.pool, assets)
    return _loss_gradient(state.params, parts, batch, variables, assets, keys)


def _move_jointly(
    parts: _Parts, state: State, batch: Batch, variables: Variables, assets: Assets
) -> tuple[PyTree, PyTree, Metrics]:
    """One optimiser step on the whole set: parameters, optimiser state, metrics."""
    keys = _step_keys(state)
    grads, metrics = _loss_gradient(state.params, parts, batch, variables, assets, keys)
    return *_apply(parts, state.params, state.opt, grads), metrics


def _move_by_class(
    parts: _Parts, state: State, batch: Batch, variables: Variables, assets: Assets
) -> tuple[PyTree, PyTree, Metrics]:
    """One optimiser step per class in turn; metrics are summed over the classes."""
    keys, classes = _step_keys(state), batch.image.shape[0]
    ipc = _set_size(parts.decoder, state.params, assets, keys.decode) // classes

    def one(carry: tuple, entry: tuple) -> tuple[tuple, Metrics]:
        (params, opt), (c, part) = carry, entry
        part = jax.tree.map(lambda leaf: leaf[None], part)
        own = keys._replace(objective=jax.random.fold_in(keys.objective, c))
        rows = c * ipc + jnp.arange(ipc)
        grads, metrics = _loss_gradient(
            params, parts, part, variables, assets, own, rows
        )
        return _apply(parts, params, opt, grads), metrics

    (params, opt), metrics = jax.lax.scan(
        one, (state.params, state.opt), (jnp.arange(classes), batch)
    )
    return params, opt, jax.tree.map(lambda leaf: jnp.sum(leaf, 0), metrics)


def _apply(
    parts: _Parts, params: PyTree, opt: PyTree, grads: PyTree
) -> tuple[PyTree, PyTree]:
    updates, opt = parts.outer.update(grads, opt, params)
    return parts.decoder.project(optax.apply_updates(params, updates)), opt


def _step_keys(state: State) -> _Keys:
    return _Keys(*jax.random.split(jax.random.fold_in(state.key, state.step), 4))


def _set_size(decoder: Decoder, params: PyTree, assets: Assets, key: Key) -> int:
    shapes = jax.eval_shape(lambda p: decoder.decode(p, assets, key), params)
    return shapes.image.shape[0]


def one_shot(make: Callable[[Key, Corpus, Assets], Synthetic]) -> Distiller:
    """A method that does everything in `init`; its step changes nothing.

    Args:
      make: chooses or computes the set from the training data; may work on the host.

    Returns:
      The distiller, with the images and targets as its parameters.
    """

    def init(key: Key, corpus: Corpus, assets: Assets) -> State:
        synthetic = make(key, corpus, assets)
        params = {"image": synthetic.image, "target": synthetic.target}
        return State(jnp.zeros((), jnp.int32), key, params, opt=())

    def step(state: State, batch: Batch, assets: Assets) -> tuple[State, Metrics]:
        del batch, assets
        new = State(state.step + 1, state.key, state.params, state.opt)
        return new, {}

    def export(state: State, assets: Assets) -> Synthetic:
        del assets
        image, target = state.params["image"], state.params["target"]
        return Synthetic(image, target, jnp.ones(image.shape[0], image.dtype))

    return Distiller(init, step, export, Nothing())
