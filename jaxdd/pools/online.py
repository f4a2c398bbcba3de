"""A pool of networks that train on the synthetic set while it is distilled."""

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

Member = tuple[Variables, PyTree, Array]  # with its optimiser's state and its age
Loss = Literal["mse", "cross_entropy", "half_squared_error"]

__all__ = ["Life", "OnlinePool", "online"]


class Life(NamedTuple):
    """How the networks of a pool age, and when one is replaced."""

    max_age: int
    """Inner steps in a network's life; 0 gives a fresh network at every visit."""
    reset: Literal["paper", "as_released"] = "paper"
    """`paper` restarts the age of a replaced network at 0; `as_released` leaves it at
    `max_age`, as KRR-ST's code does, so that the pool ends untrained."""
    ages: tuple[int, ...] | None = None
    """What the networks count as their ages at the start, untrained as they are
    (FRePo); then there is no warming."""
    visit: tuple[int, int] = (1, 1)
    """The least and the most inner steps of a visit, between which their number is
    uniform."""
    renew: Literal["next", "now"] = "next"
    """A network that has reached `max_age` is replaced at its `next` visit, or `now`,
    at the end of the one at which it has."""


class OnlinePool(NamedTuple):
    """P networks as one stacked pytree."""

    variables: Variables  # every leaf [P,...]
    opt: PyTree  # every leaf [P,...]
    age: Array  # int32 [P], inner steps taken since (re-)initialisation
    goal: Array  # int32 [P], age to reach before distillation starts


def online(
    network: Network,
    life: Life,
    *,
    size: int,
    optimiser: optax.GradientTransformation,
    loss: Loss = "mse",
    batch: int | None = None,
) -> Pool:
    """The online pool of FRePo, KRR-ST and RCIG.

    A drawn network takes one full-batch training step on the new set (batch norm in
    training mode); once it has taken `max_age` of them, the next visit replaces it by
    a fresh one. Before step 0 each network is aged to its own goal, uniform in
    1..max_age-1 (`warm`), unless `ages` are given. Memory: P copies of variables and
    optimiser state, plus the activations of one full batch.

    Args:
      network: the architecture.
      life: how long its members live.
      size: P.
      optimiser: of the inner steps.
      loss: of the inner steps, `mse` a mean over both axes, `half_squared_error` half
        a sum over the outputs.
      batch: rows of the set in an inner step, drawn without replacement where there
        are more; None = all.

    Raises:
      InputError: size or batch below 1, negative max_age, an unknown reset, or not an
        age for each network.
    """
    _check(size, life, batch)

    def fresh(key: Key) -> tuple[Variables, PyTree]:
        variables = network.init(key)
        return variables, optimiser.init(variables.params)

    train = _inner_step(network, optimiser, loss, batch)

    def init(key: Key, assets: Assets, synthetic: Synthetic) -> OnlinePool:
        del assets, synthetic
        key_networks, key_goal = jax.random.split(key)
        variables, opt = jax.jit(lambda keys: jax.lax.map(fresh, keys))(
            jax.random.split(key_networks, size)
        )
        return OnlinePool(variables, opt, *_ages(key_goal, size, life))

    def draw(key: Key, pool: OnlinePool, assets: Assets) -> tuple[Array, Variables]:
        del assets
        index = jax.random.randint(key, (), 0, size)
        return index, tree.take(pool.variables, index)

    def update(
        key: Key, pool: OnlinePool, index: Array, synthetic: Synthetic, given: Batch
    ) -> OnlinePool:
        del given
        stacked = pool.variables, pool.opt, pool.age
        member = tree.take(stacked, index)
        grow = partial(_visited, train, life.visit, synthetic, key)
        member = _renewed(member, life, grow, lambda: fresh(key))
        variables, opt, age = tree.write(stacked, index, member)
        return OnlinePool(variables, opt, age, pool.goal)

    def warm(pool: OnlinePool, synthetic: Synthetic) -> OnlinePool:
        return jax.lax.map(partial(_warmed, train, synthetic), pool)

    if life.ages is not None:
        return Pool(init, draw, update)
    return Pool(init, draw, update, warm, max(life.max_age - 1, 0))


def _ages(key: Key, size: int, life: Life) -> tuple[Array, Array]:
    """The networks' ages at the start, and those they have at step 0."""
    if life.ages is not None:
        age, same = (jnp.asarray(life.ages, jnp.int32) for _ in range(2))
        return age, same
    goal = jax.random.randint(key, (size,), 1, max(life.max_age, 2))
    goal = jnp.minimum(goal, max(life.max_age - 1, 0)).astype(jnp.int32)
    return jnp.zeros(size, jnp.int32), goal


def _inner_step(
    network: Network,
    optimiser: optax.GradientTransformation,
    loss: Loss,
    batch: int | None,
) -> Callable[[Variables, PyTree, Synthetic, Key], tuple[Variables, PyTree]]:
    """One training step of a network on the set."""
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

    return train


def _visited(
    train: Callable[..., tuple[Variables, PyTree]],
    visit: tuple[int, int],
    synthetic: Synthetic,
    key: Key,
    member: Member,
) -> Member:
    """The member after the inner steps of a visit."""
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


def _renewed(
    member: Member,
    life: Life,
    grow: Callable[[Member], Member],
    fresh: Callable[[], tuple[Variables, PyTree]],
) -> Member:
    """The member after a visit, or a fresh one where its life has ended."""
    if life.renew == "now":
        member = grow(member)
    age = member[2]
    start = jnp.zeros_like(age) if life.reset == "paper" else age
    return jax.lax.cond(
        age >= life.max_age,
        lambda: (*fresh(), start),
        lambda: member if life.renew == "now" else grow(member),
    )


def _warmed(
    train: Callable[..., tuple[Variables, PyTree]],
    synthetic: Synthetic,
    member: OnlinePool,
) -> OnlinePool:
    """One network of the pool, a step older where it is below its goal."""

    def older() -> OnlinePool:
        # For networks with random layers; no draw of a run depends on it.
        key = jax.random.fold_in(jax.random.key(0), member.age)
        variables, opt = train(member.variables, member.opt, synthetic, key)
        return OnlinePool(variables, opt, member.age + 1, member.goal)

    return jax.lax.cond(member.age < member.goal, older, lambda: member)


def _check(size: int, life: Life, batch: int | None) -> None:
    if size < 1 or life.max_age < 0:
        raise InputError(
            f"pool={size}, max_age={life.max_age}: the pool needs at least one network "
            "and a non-negative age"
        )
    if batch is not None and batch < 1:
        raise InputError(f"the pool's batch is {batch}; it must be at least 1")
    ages, (least, most) = life.ages, life.visit
    if ages is not None and (len(ages) != size or min(ages) < 0):
        raise InputError(f"ages={ages}: give {size} ages, each at least 0")
    if not 1 <= least <= most:
        raise InputError(
            f"visit={life.visit}: the least and the most inner steps, each at least 1"
        )
    one_of("pool_reset", life.reset, ("paper", "as_released"))
    one_of("renew", life.renew, ("next", "now"))
