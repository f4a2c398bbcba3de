"""Pools whose networks never train."""

from collections.abc import Callable

import jax.numpy as jnp

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

__all__ = ["drawn", "fresh", "none"]


def fresh(network: Network) -> Pool:
    """A newly initialised network at every draw; nothing is kept between steps."""
    return drawn(network.init)


def drawn(make: Callable[[Key], Variables]) -> Pool:
    """New variables at every draw; nothing is kept between steps.

    Args:
      make: draws them, of one network or of several stacked.
    """

    def init(key: Key, assets: Assets, synthetic: Synthetic) -> PyTree:
        del key, assets, synthetic
        return ()

    def draw(key: Key, pool: PyTree, assets: Assets) -> tuple[Array, Variables]:
        del pool, assets
        return jnp.zeros((), jnp.int32), make(key)

    def update(
        key: Key, pool: PyTree, index: Array, synthetic: Synthetic, batch: Batch
    ) -> PyTree:
        del key, index, synthetic, batch
        return pool

    return Pool(init, draw, update)


def none() -> Pool:
    """No networks: the objective has its own, or none."""

    def init(key: Key, assets: Assets, synthetic: Synthetic) -> PyTree:
        del key, assets, synthetic
        return ()

    def draw(key: Key, pool: PyTree, assets: Assets) -> tuple[Array, Variables]:
        del key, pool, assets
        return jnp.zeros((), jnp.int32), Variables({}, {})

    def update(
        key: Key, pool: PyTree, index: Array, synthetic: Synthetic, batch: Batch
    ) -> PyTree:
        del key, index, synthetic, batch
        return pool

    return Pool(init, draw, update)
