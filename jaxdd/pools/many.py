"""Several independent pools as one, for outer steps that average over networks."""

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Assets, Batch, Key, Pool, PyTree, Synthetic, Variables
from jaxdd.members import map_members

__all__ = ["many"]


def many(pool: Pool, count: int) -> Pool:
    """Several independent pools, stacked along a leading axis.

    Args:
      pool: one of them.
      count: how many.

    Returns:
      A pool that draws and updates one network of each, [count,...].
    """

    def init(key: Key, assets: Assets, synthetic: Synthetic) -> PyTree:
        keys = jax.random.split(key, count)
        states = [pool.init(k, assets, synthetic) for k in keys]
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)

    def draw(key: Key, state: PyTree, assets: Assets) -> tuple[Array, Variables]:
        def one(member: tuple[Key, PyTree]) -> tuple[Array, Variables]:
            return pool.draw(*member, assets)

        return map_members(one, (jax.random.split(key, count), state))

    def update(
        key: Key, state: PyTree, index: Array, synthetic: Synthetic, batch: Batch
    ) -> PyTree:
        def one(member: tuple[Key, PyTree, Array]) -> PyTree:
            return pool.update(*member, synthetic, batch)

        return map_members(one, (jax.random.split(key, count), state, index))

    if pool.warm is None:
        return Pool(init, draw, update)
    age = pool.warm

    def warm(state: PyTree, synthetic: Synthetic) -> PyTree:
        return map_members(lambda member: age(member, synthetic), state)

    return Pool(init, draw, update, warm, pool.warm_steps)
