"""Functions of members (networks, segments), spread over the devices of a mesh."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from jaxdd.base import PyTree

__all__ = ["map_members", "shares", "sum_of_shares"]


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
    mesh, devices = _data_axis()
    count = jax.tree.leaves(members)[0].shape[0]

    def local(own: PyTree) -> PyTree:
        return jax.lax.map(function, own)

    if devices == 1 or count % devices:
        return local(members)
    split = PartitionSpec("data")
    return jax.shard_map(
        local, mesh=mesh, in_specs=split, out_specs=split, check_vma=False
    )(members)


def shares() -> int:
    """Devices over which `sum_of_shares` spreads members: those of the `data` axis."""
    return _data_axis()[1]


def sum_of_shares(
    function: Callable[[PyTree, PyTree], PyTree], members: PyTree, given: PyTree
) -> PyTree:
    """The sum of a function over members, a share of them on each device.

    Args:
      function: (members, given) to the sum over these members; closes over no arrays.
      members: all of them, every leaf with them as its leading axis, spread as by
        `map_members`.
      given: arrays that are on every device.
    """
    mesh, devices = _data_axis()
    if devices == 1 or jax.tree.leaves(members)[0].shape[0] % devices:
        return function(members, given)

    def local(own: PyTree, given: PyTree) -> PyTree:
        return jax.tree.map(lambda leaf: leaf[None], function(own, given))

    split = PartitionSpec("data")
    # Added outside, so that the derivative is that of a plain sum.
    sums = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(split, PartitionSpec()),
        out_specs=split,
        check_vma=False,
    )(members, given)
    return jax.tree.map(lambda leaf: jnp.sum(leaf, 0), sums)


def _data_axis() -> tuple[Any, int]:
    """The mesh set around the call, and its devices along `data` that are free.

    Inside `map_members` they are not: each works on members of its own.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or "data" in mesh.manual_axes:
        return mesh, 1
    return mesh, dict(mesh.shape).get("data", 1)
