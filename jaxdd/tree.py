"""Small operations on pytrees that jax.tree and optax.tree do not have."""

from collections.abc import Callable
from typing import Any

import jax
from jax.sharding import PartitionSpec

from jaxdd.base import Array, PyTree

__all__ = ["map_members", "size_in_bytes", "take", "write"]


def take(tree: PyTree, index: Array | int) -> PyTree:
    """Row `index` (traced or static) of every leaf."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def write(tree: PyTree, index: Array, row: PyTree) -> PyTree:
    """The tree with `row` written at `index` of every leaf's first axis."""
    return jax.tree.map(lambda leaf, new: leaf.at[index].set(new), tree, row)


def size_in_bytes(tree: Any) -> int:
    """Bytes of all array leaves (abstract arrays count too)."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def map_members(function: Callable[[PyTree], PyTree], members: PyTree) -> PyTree:
    """The function of each member, one after another, a share of them on each device.

    Members (networks, segments) never meet. They are spread over the `data` axis of
    the mesh that is set around the call, where their number is a multiple of it.

    Args:
      function: of one member; may close over arrays, which are then on every device.
      members: every leaf has the members as its leading axis.

    Returns:
      The results, stacked along a leading axis.
    """
    mesh = jax.sharding.get_abstract_mesh()
    devices = 1 if mesh.empty else dict(mesh.shape).get("data", 1)
    count = jax.tree.leaves(members)[0].shape[0]

    def local(own: PyTree) -> PyTree:
        return jax.lax.map(function, own)

    if devices == 1 or count % devices:
        return local(members)
    split = PartitionSpec("data")
    return jax.shard_map(
        local, mesh=mesh, in_specs=split, out_specs=split, check_vma=False
    )(members)
