"""Joins a decoder, an objective, a pool of networks and an optimiser into a method."""

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdd import tree
from jaxdd.base import (
    Array,
    Assets,
    Batch,
    Corpus,
    Decoder,
    Distiller,
    Feed,
    Key,
    Metrics,
    Nothing,
    Objective,
    Pool,
    PyTree,
    Segment,
    State,
    Synthetic,
    Task,
    Variables,
)
from jaxdd.errors import InputError, one_of
from jaxdd.members import map_members
from jaxdd.pools import many
from jaxdd.records import KernelSpec, Need
from jaxdd.select import Selector, groups_of, space_of, subset

__all__ = ["compose", "from_selector", "one_shot"]


class _Keys(NamedTuple):
    decode: Key
    draw: Key
    objective: Key
    update: Key


class _Parts(NamedTuple):
    decoder: Decoder
    objective: Objective
    pool: Pool
    outer: optax.GradientTransformationExtraArgs
    members: int  # networks, or segments of experts, whose gradients are averaged


def compose(
    decoder: Decoder,
    objective: Objective,
    pool: Pool,
    outer: optax.GradientTransformation,
    feed: Feed,
    needs: tuple[Need, ...] = (),
    *,
    update: Literal["joint", "per_class"] = "joint",
    meta_batch: int = 1,
    ema: float = 0.0,
) -> Distiller:
    """A method from its parts.

    One step draws a network from the pool, takes the objective's gradient through the
    decoder, moves the parameters by one optimiser step, and lets the pool train on the
    new set. The optimiser is given the loss as `value`.

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
      meta_batch: average the gradients of this many networks, each of a pool of its
        own, or with a `Segments` feed of as many segments; one after another, or
        spread over devices (`members.map_members`).
      ema: decay of an average of the parameters that starts at the first ones; the
        average is what is exported. 0 = off.

    Returns:
      The distiller; its `gradient` is None for per-class updates.

    Raises:
      InputError: an unknown update, a meta_batch below 1, an ema outside [0, 1).
    """
    _check(update, meta_batch, ema)
    pool = pool if meta_batch == 1 else many(pool, meta_batch)
    outer = optax.with_extra_args_support(outer)
    parts = _Parts(decoder, objective, pool, outer, meta_batch)
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
            memory=params if ema else (),
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
            memory=_average(ema, state.memory, params),
        )
        return new, metrics

    def export(state: State, assets: Assets) -> Synthetic:
        params = state.memory if ema else state.params
        return (decoder.export or decoder.decode)(params, assets, state.key)

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


def _check(update: str, meta_batch: int, ema: float) -> None:
    one_of("update", update, ("joint", "per_class"))
    if meta_batch < 1:
        raise InputError(f"meta_batch={meta_batch}: must be at least 1")
    if not 0 <= ema < 1:
        raise InputError(f"ema={ema}: must be in [0, 1); 0 = no average")


def _average(decay: float, average: PyTree, params: PyTree) -> PyTree:
    if not decay:
        return average
    return jax.tree.map(lambda a, p: decay * a + (1 - decay) * p, average, params)


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


_loss_of_one = jax.value_and_grad(_loss, has_aux=True)


def _loss_gradient(
    params: PyTree,
    parts: _Parts,
    batch: Batch,
    variables: Variables,
    assets: Assets,
    keys: _Keys,
    rows: Array | None = None,
) -> tuple[tuple[Array, Metrics], PyTree]:
    """Value, metrics and gradient, means over the members."""
    pieces = batch.extra if isinstance(batch.extra, Segment) else None
    if parts.members == 1:
        batch = batch._replace(extra=tree.take(pieces, 0)) if pieces else batch
        return _loss_of_one(params, parts, batch, variables, assets, keys, rows)

    # Mapped are the gradients, not the losses, so that only one member's activations
    # are held at a time.
    def one(member: tuple[Variables, PyTree, Key]) -> tuple:
        network, piece, key = member
        part = batch._replace(extra=piece) if pieces else batch
        member_keys = keys._replace(objective=key)
        return _loss_of_one(params, parts, part, network, assets, member_keys, rows)

    draws = jax.random.split(keys.objective, parts.members)
    results = map_members(one, (variables, pieces, draws))
    return jax.tree.map(lambda leaf: jnp.mean(leaf, 0), results)


def _gradient(
    parts: _Parts, state: State, batch: Batch, assets: Assets
) -> tuple[PyTree, Metrics]:
    """The outer gradient before the optimiser."""
    keys = _step_keys(state)
    _, variables = parts.pool.draw(keys.draw, state.pool, assets)
    (_, metrics), grads = _loss_gradient(
        state.params, parts, batch, variables, assets, keys
    )
    return grads, metrics


def _move_jointly(
    parts: _Parts, state: State, batch: Batch, variables: Variables, assets: Assets
) -> tuple[PyTree, PyTree, Metrics]:
    """One optimiser step on the whole set: parameters, optimiser state, metrics."""
    keys = _step_keys(state)
    (value, metrics), grads = _loss_gradient(
        state.params, parts, batch, variables, assets, keys
    )
    return *_apply(parts, state.params, state.opt, grads, value), metrics


def _move_by_class(
    parts: _Parts, state: State, batch: Batch, variables: Variables, assets: Assets
) -> tuple[PyTree, PyTree, Metrics]:
    """One optimiser step per class in turn; metrics are summed over the classes."""
    keys, classes = _step_keys(state), batch.image.shape[0]
    ipc = _set_size(parts.decoder, state.params, assets, keys.decode) // classes

    def one(carry: tuple, entry: tuple) -> tuple[tuple, Metrics]:
        (params, opt), (c, part) = carry, entry
        part = jax.tree.map(lambda leaf: leaf[None], part)._replace(step=batch.step)
        class_keys = keys._replace(objective=jax.random.fold_in(keys.objective, c))
        rows = c * ipc + jnp.arange(ipc)
        (value, metrics), grads = _loss_gradient(
            params, parts, part, variables, assets, class_keys, rows
        )
        return _apply(parts, params, opt, grads, value), metrics

    by_class = batch._replace(step=None)  # the only field without a row for each class
    (params, opt), metrics = jax.lax.scan(
        one, (state.params, state.opt), (jnp.arange(classes), by_class)
    )
    return params, opt, jax.tree.map(lambda leaf: jnp.sum(leaf, 0), metrics)


def _apply(
    parts: _Parts, params: PyTree, opt: PyTree, grads: PyTree, value: Array
) -> tuple[PyTree, PyTree]:
    updates, opt = parts.outer.update(grads, opt, params, value=value)
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


def from_selector(choose: Selector, task: Task, kernel: KernelSpec) -> Distiller:
    """A method that chooses real images, of each class or of all, with their labels.

    Args:
      choose: the rule.
      task: m, and images per class where there are classes.
      kernel: how images are compared (`select.space_of`).

    Returns:
      The distiller.
    """

    def make(key: Key, corpus: Corpus, assets: Assets) -> Synthetic:
        del assets
        groups_of(corpus, task.size, task.ipc)  # that there are enough of them
        key_space, key_choice = jax.random.split(key)
        labels = None if task.ipc is None else corpus.label
        budget = task.size if task.ipc is None else task.ipc
        space = space_of(kernel, corpus, key_space)
        return subset(corpus, choose(key_choice, space, labels, budget).indices)

    return one_shot(make)
