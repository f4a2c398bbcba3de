"""Joins a decoder, an objective, a pool of networks and an optimiser into a method."""

from collections.abc import Callable
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

    def loss(
        params: PyTree,
        batch: Batch,
        variables: Variables,
        assets: Assets,
        keys: _Keys,
        rows: Array | None = None,
    ) -> tuple[Array, Metrics]:
        synthetic = decoder.decode(params, assets, keys.decode, rows)
        return objective(synthetic, batch, variables, assets, keys.objective)

    def apply(params: PyTree, opt: PyTree, grads: PyTree) -> tuple[PyTree, PyTree]:
        updates, opt = outer.update(grads, opt, params)
        return decoder.project(optax.apply_updates(params, updates)), opt

    def gradient(state: State, batch: Batch, assets: Assets) -> tuple[PyTree, Metrics]:
        keys = _step_keys(state)
        _, variables = pool.draw(keys.draw, state.pool, assets)
        return jax.grad(loss, has_aux=True)(
            state.params, batch, variables, assets, keys
        )

    def move_jointly(
        state: State, batch: Batch, variables: Variables, assets: Assets
    ) -> tuple[PyTree, PyTree, Metrics]:
        grads, metrics = jax.grad(loss, has_aux=True)(
            state.params, batch, variables, assets, _step_keys(state)
        )
        return *apply(state.params, state.opt, grads), metrics

    def move_by_class(
        state: State, batch: Batch, variables: Variables, assets: Assets
    ) -> tuple[PyTree, PyTree, Metrics]:
        keys, classes = _step_keys(state), batch.image.shape[0]
        ipc = _set_size(decoder, state.params, assets, keys.decode) // classes

        def one(carry: tuple, entry: tuple) -> tuple[tuple, Metrics]:
            (params, opt), (c, part) = carry, entry
            part = jax.tree.map(lambda leaf: leaf[None], part)
            own = keys._replace(objective=jax.random.fold_in(keys.objective, c))
            grads, metrics = jax.grad(loss, has_aux=True)(
                params, part, variables, assets, own, c * ipc + jnp.arange(ipc)
            )
            return apply(params, opt, grads), metrics

        (params, opt), metrics = jax.lax.scan(
            one, (state.params, state.opt), (jnp.arange(classes), batch)
        )
        return params, opt, jax.tree.map(lambda leaf: jnp.sum(leaf, 0), metrics)

    move = move_jointly if update == "joint" else move_by_class

    def step(state: State, batch: Batch, assets: Assets) -> tuple[State, Metrics]:
        keys = _step_keys(state)
        index, variables = pool.draw(keys.draw, state.pool, assets)
        params, opt, metrics = move(state, batch, variables, assets)
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

    if update not in ("joint", "per_class"):
        raise InputError(f"update={update!r}: choose 'joint' or 'per_class'")
    return Distiller(
        init=init,
        step=step,
        export=export,
        feed=feed,
        needs=needs,
        gradient=gradient if update == "joint" else None,
        warm=warm if pool.warm is not None else None,
        warm_steps=pool.warm_steps,
    )


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
