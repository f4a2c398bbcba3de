"""Pools of networks that are the same in every run: one start, or trained ones."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from jaxdd.base import (
    Array,
    Assets,
    Batch,
    ExpertsAsset,
    Key,
    Network,
    Pool,
    PyTree,
    Synthetic,
    Variables,
)

__all__ = ["one_start", "trained"]


def one_start(network: Network, seed: int = 0) -> Pool:
    """The same untrained network at every draw."""

    def draw(key: Key, pool: PyTree, assets: Assets) -> tuple[Array, Variables]:
        del key, pool, assets
        return jnp.zeros((), jnp.int32), network.init(jax.random.key(seed))

    return Pool(_nothing, draw, _kept)


def trained(network: Network, name: str = "experts") -> Pool:
    """A random expert at the end of its training.

    Args:
      network: of the experts; it has no statistics.
      name: of the asset, an `ExpertsAsset`.
    """

    def draw(key: Key, pool: PyTree, assets: Assets) -> tuple[Array, Variables]:
        del pool
        experts: ExpertsAsset = assets[name]
        index = jax.random.randint(key, (), 0, experts.last.shape[0])
        shapes = jax.eval_shape(network.init, jax.random.key(0))
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        _, unravel = ravel_pytree(zeros.params)
        return index, Variables(unravel(experts.last[index]), zeros.stats)

    return Pool(_nothing, draw, _kept)


def _nothing(key: Key, assets: Assets, synthetic: Synthetic) -> PyTree:
    del key, assets, synthetic
    return ()


def _kept(
    key: Key, pool: PyTree, index: Array, synthetic: Synthetic, batch: Batch
) -> PyTree:
    del key, index, synthetic, batch
    return pool
