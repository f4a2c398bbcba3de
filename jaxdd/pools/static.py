"""Pools whose networks never train."""

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

__all__ = ["fresh", "none"]


def fresh(network: Network) -> Pool:
    """A newly initialised network at every draw; nothing is kept between steps."""

    def init(key: Key, assets: Assets, synthetic: Synthetic) -> PyTree:
        del key, assets, synthetic
        return ()

    def draw(key: Key, pool: PyTree, assets: Assets) -> tuple[Array, Variables]:
        del pool, assets
        return jnp.zeros((), jnp.int32), network.init(key)

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
