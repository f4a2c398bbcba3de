"""A kernel whose rows are spread over the devices of a mesh."""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from jaxdd.base import Array, PyTree
from jaxdd.kernels.kernel import Kernel
from jaxdd.members import shares

__all__ = ["sharded"]


def sharded(kernel: Kernel) -> Kernel:
    """The kernel with each device computing its share of the rows.

    Rows (the images x1) are split over the `data` axis of the mesh that is set around
    the call; x2 and the variables lie whole on every device, and the gradients by them
    are summed over the devices. Without a mesh it is the kernel itself. Goes outside
    of `blocked`: `sharded(blocked(kernel, rows))` computes blocks of a device's rows.

    Args:
      kernel: an entry of it depends on its two images only.

    Returns:
      The kernel; its rows lie where they were computed.
    """

    def spread(x1: Array, x2: Array, variables: PyTree = ()) -> Array:
        devices = shares()
        if devices == 1:
            return kernel(x1, x2, variables)
        split, whole = PartitionSpec("data"), PartitionSpec()
        over_devices = jax.shard_map(
            kernel,
            mesh=jax.sharding.get_abstract_mesh(),
            in_specs=(split, whole, whole),
            out_specs=split,
            check_vma=False,
        )
        rows = x1.shape[0]
        filled = _filled(x1, -rows % devices)
        return over_devices(filled, x2, variables)[:rows]

    return spread


def _filled(rows: Array, more: int) -> Array:
    """Rows with the last one repeated; what a kernel makes of a copy is finite."""
    if not more:
        return rows
    return jnp.concatenate([rows, jnp.repeat(rows[-1:], more, axis=0)])
