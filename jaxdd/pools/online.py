"""A pool of networks that train on the synthetic set while it is distilled."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxdd import tree
from jaxdd.base import (
    Array,
    Assets,
    Batch,
    Key,
    Network,
    Pool,
    PyTree,
    Synthetic,
    Variables,
)
from jaxdd.errors import InputError, one_of
from jaxdd.rng import permuted
from jaxdd.training import fit_step, supervised

__all__ = ["OnlinePool", "online"]


class OnlinePool(NamedTuple):
    """P networks as one stacked pytree."""

    variables: Variables  # every leaf [P,...]
    opt: PyTree  # every leaf [P,...]
    age: Array  # int32 [P], inner steps taken since (re-)initialisation
    goal: Array  # int32 [P], age to reach before distillation starts


def online(
    network: Network,
    *,
    size: int,
    max_age: int,
    optimiser: optax.GradientTransformation,
    loss: Literal["mse", "cross_entropy", "half_squared_error"] = "mse",
    reset: Literal["paper", "as_released"] = "paper",
    ages: tuple[int, ...] | None = None,
    batch: int | None = None,
    visit: tuple[int, int] = (1, 1),
    renew: Literal["next", "now"] = "next",
) -> Pool:
    """The online pool of FRePo and KRR-ST.

    A drawn network takes one full-batch training step on the new set (batch norm in
    training mode); once it has taken `max_age` of them, the next visit replaces it by
    a fresh one. Before step 0 each network is aged to its own goal, uniform in
    1..max_age-1 (`warm`), unless `ages` are given. Memory: P copies of variables and
    optimiser state, plus the activations of one full batch.

    Args:
      network: the architecture.
      size: P.
      max_age: inner steps in a network's life; 0 gives a fresh network at every visit.
      optimiser: of the inner steps.
      loss: of the inner steps, `mse` a mean over both axes, `half_squared_error` half
        a sum over the outputs.
      ages: what the networks count as their ages at the start, untrained as they are
        (FRePo); then there is no warming.
      batch: rows of the set in an inner step, drawn without replacement where there
        are more; None = all.
      visit: the least and the most inner steps of a visit, between which their number
        is uniform.
      renew: a network that has reached `max_age` is replaced at its `next` visit, or
        `now`, at the end of the one at which it has.
      reset: `paper` restarts the age of a replaced network at 0; `as_released` leaves
        it at `max_age`, as KRR-ST's code does, so that the pool ends untrained.

    Raises:
      InputError: size or batch below 1, negative max_age, an unknown reset, or not an
        age for each network.
    """
    _check(size, max_age, reset, ages, batch)
    _check_visit(visit, renew)
    anew = reset == "paper"

    def fresh(key: Key) -> tuple[Variables, PyTree]:
        variables = network.init(key)
        return variables, optimiser.init(variables.params)

    train, grow = _visits(network, optimiser, loss, batch, visit)

    def init(key: Key, assets: Assets, synthetic: Synthetic) -> OnlinePool:
        del assets, synthetic
        key_networks, key_goal = jax.random.split(key)
        variables, opt = jax.jit(lambda keys: jax.lax.map(fresh, keys))(
            jax.random.split(key_networks, size)
        )
        if ages is not None:
            age, same = (jnp.asarray(ages, jnp.int32) for _ in range(2))
            return OnlinePool(variables, opt, age, same)
        goal = jax.random.randint(key_goal, (size,), 1, max(max_age, 2))
        goal = jnp.minimum(goal, max(max_age - 1, 0)).astype(jnp.int32)
        return OnlinePool(variables, opt, jnp.zeros(size, jnp.int32), goal)

    def draw(key: Key, pool: OnlinePool, assets: Assets) -> tuple[Array, Variables]:
        del assets
        index = jax.random.randint(key, (), 0, size)
        return index, tree.take(pool.variables, index)

    def update(
        key: Key, pool: OnlinePool, index: Array, synthetic: Synthetic, given: Batch
    ) -> OnlinePool:
        del given
        stacked = pool.variables, pool.opt, pool.age
        old = tree.take(stacked, index)
        if renew == "now":
            old = grow(old, synthetic, key)
        age = old[2]
        member = jax.lax.cond(
            age >= max_age,
            lambda: (*fresh(key), jnp.zeros_like(age) if anew else age),
            lambda: old if renew == "now" else grow(old, synthetic, key),
        )
        variables, opt, age = tree.write(stacked, index, member)
        return OnlinePool(variables, opt, age, pool.goal)

    def warm(pool: OnlinePool, synthetic: Synthetic) -> OnlinePool:
        def one(member: OnlinePool) -> OnlinePool:
            def older() -> OnlinePool:
                # For networks with random layers; no draw of a run depends on it.
                key = jax.random.fold_in(jax.random.key(0), member.age)
                variables, opt = train(member.variables, member.opt, synthetic, key)
                return OnlinePool(variables, opt, member.age + 1, member.goal)

            return jax.lax.cond(member.age < member.goal, older, lambda: member)

        return jax.lax.map(one, pool)

    if ages is not None:
        return Pool(init, draw, update)
    return Pool(init, draw, update, warm, max(max_age - 1, 0))


def _visits(
    network: Network,
    optimiser: optax.GradientTransformation,
    loss: Literal["mse", "cross_entropy", "half_squared_error"],
    batch: int | None,
    visit: tuple[int, int],
) -> tuple[Callable[..., tuple[Variables, PyTree]], Callable[..., tuple]]:
    """One inner step of a member, and all those of a visit (see `online`)."""
    fit = fit_step(network, optimiser, supervised(loss))

    def train(
        variables: Variables, opt: PyTree, synthetic: Synthetic, key: Key
    ) -> tuple[Variables, PyTree]:
        images, targets = synthetic.image, synthetic.target
        rows = images.shape[0]
        if batch is not None and batch < rows:
            key, key_rows = jax.random.split(key)
            chosen = permuted(key_rows, jnp.arange(batch), rows)
            images, targets = images[chosen], targets[chosen]
        variables, opt, _ = fit(variables, opt, images, targets, key)
        return variables, opt

    def grow(
        member: PyTree, synthetic: Synthetic, key: Key
    ) -> tuple[Variables, PyTree, Array]:
        variables, opt, age = member
        if visit == (1, 1):
            return *train(variables, opt, synthetic, key), age + 1
        key_count, key_train = jax.random.split(key)
        least, most = visit
        count = jax.random.randint(key_count, (), least, most + 1, jnp.int32)

        def one(number: Array, now: PyTree) -> tuple[Variables, PyTree]:
            variables, opt = now
            own = jax.random.fold_in(key_train, number)
            return train(variables, opt, synthetic, own)

        after = jax.lax.fori_loop(0, count, one, (variables, opt))
        return *after, age + count

    return train, grow


def _check(
    size: int,
    max_age: int,
    reset: str,
    ages: tuple[int, ...] | None,
    batch: int | None,
) -> None:
    if size < 1 or max_age < 0:
        raise InputError(
            f"pool={size}, max_age={max_age}: the pool needs at least one network "
            "and a non-negative age"
        )
    if batch is not None and batch < 1:
        raise InputError(f"the pool's batch is {batch}; it must be at least 1")
    if ages is not None and (len(ages) != size or min(ages) < 0):
        raise InputError(f"ages={ages}: give {size} ages, each at least 0")
    one_of("pool_reset", reset, ("paper", "as_released"))


def _check_visit(visit: tuple[int, int], renew: str) -> None:
    if not 1 <= visit[0] <= visit[1]:
        raise InputError(
            f"visit={visit}: the least and the most inner steps, each at least 1"
        )
    one_of("renew", renew, ("next", "now"))
