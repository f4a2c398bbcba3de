"""One network that trains on the synthetic set between matchings, then is replaced."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdd.base import (
    Array,
    Assets,
    Augment,
    Batch,
    Key,
    Network,
    Pool,
    PyTree,
    Synthetic,
    Variables,
)
from jaxdd.errors import InputError
from jaxdd.records import Recipe, Sgd
from jaxdd.training import trainer
from jaxdd.training.batches import Source, Weighted, draw_rows, in_steps
from jaxdd.training.statistics import with_batch_statistics

__all__ = ["MatchedPool", "loops", "matched"]

# Images per class: matchings of one network, epochs between them (Zhao et al. 2021).
_LOOPS = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15)}
_LOOPS |= {50: (50, 10)}


class MatchedPool(NamedTuple):
    """The network in use."""

    variables: Variables
    age: Array  # int32 [], matchings that it has been used for


def matched(
    network: Network,
    *,
    matchings: int,
    epochs: int,
    learning_rate: float = 0.01,
    batch: int = 256,
    augment: Augment | None = None,
    group: int = 1,
) -> Pool:
    """The network of gradient matching: used, trained on the set, used again, replaced.

    A network serves `matchings` steps. After each but the last it trains `epochs`
    passes over the new set by plain SGD (batch norm in training mode, after taking in
    statistics of the step's real images); after the last a fresh one replaces it.

    Args:
      network: the architecture.
      matchings: steps of a network's life (the authors' outer loop).
      epochs: passes between them (their inner loop).
      learning_rate: of the passes.
      batch: rows of a training step, or groups of rows.
      augment: random operations on each training batch; None for none.
      group: rows that stand side by side and are drawn together, such as an image and
        its mirror image.

    Returns:
      The pool; its draw is always the one network.

    Raises:
      InputError: a number out of range.
    """
    _check(matchings, epochs, learning_rate, batch)
    source = _source(augment, batch, group)
    optimiser = Sgd(learning_rate, momentum=0.0)
    recipe = Recipe(epochs=epochs, batch=batch, optimiser=optimiser)

    def init(key: Key, assets: Assets, synthetic: Synthetic) -> MatchedPool:
        del assets, synthetic
        return MatchedPool(jax.jit(network.init)(key), jnp.zeros((), jnp.int32))

    def draw(key: Key, pool: MatchedPool, assets: Assets) -> tuple[Array, Variables]:
        del key, assets
        return jnp.zeros((), jnp.int32), pool.variables

    def train(key: Key, variables: Variables, synthetic: Synthetic) -> Variables:
        passes = in_steps(recipe, synthetic.image.shape[0] // group)
        run = trainer(source, network, passes)
        state, _ = jax.lax.scan(
            lambda state, _: run.step(state, synthetic),
            run.init(key, variables),
            length=passes.steps,
        )
        return state.variables

    def update(
        key: Key, pool: MatchedPool, index: Array, synthetic: Synthetic, batch: Batch
    ) -> MatchedPool:
        del index
        fresh = lambda: MatchedPool(network.init(key), jnp.zeros_like(pool.age))
        if matchings == 1:
            return fresh()

        def trained() -> MatchedPool:
            variables = with_batch_statistics(network, pool.variables, batch)
            if epochs:
                variables = train(key, variables, synthetic)
            return MatchedPool(variables, pool.age + 1)

        return jax.lax.cond(pool.age + 1 < matchings, trained, fresh)

    return Pool(init, draw, update)


def loops(
    ipc: int, matchings: int | None = None, epochs: int | None = None
) -> tuple[int, int]:
    """Matchings of one network and epochs between them; None takes the authors' number.

    Raises:
      InputError: one is left to a table that has no row for `ipc`.
    """
    if matchings is not None and epochs is not None:
        return matchings, epochs
    if ipc not in _LOOPS:
        raise InputError(
            f"distill.matchings={matchings}, distill.network_epochs={epochs}: "
            f"published for {', '.join(map(str, _LOOPS))} images per class, and there "
            f"are {ipc}; give both, such as --distill.matchings 10 "
            "--distill.network-epochs 10"
        )
    table = _LOOPS[ipc]
    return (
        table[0] if matchings is None else matchings,
        table[1] if epochs is None else epochs,
    )


def _source(augment: Augment | None, batch: int, group: int) -> Source:
    """Batches of `batch` groups of a set's rows; each epoch takes all of them."""
    recipe = Recipe(epochs=1, batch=batch)

    def source(key: Key, step: Array, synthetic: Synthetic) -> tuple[PyTree, PyTree]:
        key_rows, key_augment = jax.random.split(key)
        count = synthetic.image.shape[0] // group
        first, share = draw_rows(recipe, key_rows, step, count)
        beside = jnp.arange(group, dtype=first.dtype)[None]
        rows = (first[:, None] * group + beside).reshape(-1)
        image, target, weight = (part[rows] for part in synthetic[:3])
        if share is not None:
            weight = weight * jnp.repeat(share, group)
        if augment is not None:
            key_step = jax.random.fold_in(key_augment, step)
            image = augment.apply(augment.sample(key_step, len(rows)), image)
        return image, Weighted(target, weight)

    return source


def _check(matchings: int, epochs: int, learning_rate: float, batch: int) -> None:
    if matchings < 1 or epochs < 0:
        raise InputError(
            f"distill.matchings={matchings}, distill.network_epochs={epochs}: a "
            "network needs at least one matching and no fewer than 0 epochs between two"
        )
    if not learning_rate >= 0 or batch < 1:
        raise InputError(
            f"distill.network_rate={learning_rate}, distill.network_batch={batch}: "
            "the rate must be at least 0, the batch at least 1"
        )
