"""Devices: the mesh, where arrays lie on it, and the cache of compiled programs.

Axes are ("seed", "data"): independent networks are spread over `seed`, batch rows are
split over `data`, everything else lies whole on every device. All axes are Auto, so
that any JAX function works on what is split.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxdd.base import Batch, Drive, Metrics, PyTree
from jaxdd.devices import agreement
from jaxdd.errors import InputError

__all__ = [
    "compile_cache",
    "device_per_core",
    "make_mesh",
    "memory_budget",
    "mesh_of",
    "on_mesh",
    "placed_copy",
    "replicate",
    "shard_batch",
    "shard_rows",
    "split_lead",
    "spread",
    "to_local_device",
    "use_mesh",
]

Step = Callable[[PyTree, PyTree], tuple[PyTree, Metrics]]


def compile_cache(folder: Path) -> bool:
    """Keeps compiled programs in a folder, for the next process.

    It only saves time: where the folder cannot be written, nothing is kept. To be
    called before anything is compiled.

    Returns:
      Whether the folder is used.
    """
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        return False
    jax.config.update("jax_compilation_cache_dir", str(folder.absolute()))
    # JAX keeps what took a second; a run is many programs of half a second.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    return True


def device_per_core() -> None:
    """Lets JAX see one CPU device for each core, so that students need not share them.

    Two students, each on a core, are faster than both cores on one after the other.
    Devices that the environment asks for are left as they are. To be called before JAX
    starts its backend; later it does nothing.
    """
    asked = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if asked or "JAX_NUM_CPU_DEVICES" in os.environ:
        return
    with contextlib.suppress(RuntimeError):  # the backend has started
        jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


def make_mesh(seed: int = 1, data: int | None = None) -> Mesh:
    """A mesh with axes ("seed", "data").

    Args:
      seed: devices over which independent networks are spread.
      data: devices over which batch rows are split; default: all that are left.
    """
    data = jax.device_count() // seed if data is None else data
    devices = jax.devices()[: seed * data]
    kinds = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh(
        (seed, data), ("seed", "data"), axis_types=kinds, devices=devices
    )


def replicate(mesh: Mesh | None, tree: PyTree) -> PyTree:
    """Every array whole on every device of the mesh; on the default device without one.

    Arrays that lie on the mesh already keep their place.
    """
    if mesh is None:
        return jax.device_put(tree)
    whole = NamedSharding(mesh, PartitionSpec())
    places = jax.tree.map(
        lambda leaf: leaf.sharding if mesh_of(leaf) == mesh else whole, tree
    )
    return _put(tree, places)


def _put(tree: PyTree, places: PyTree) -> PyTree:
    """Arrays on the devices of their places, which may belong to several processes.

    Each process takes the parts of its devices from the copy it has: nothing is sent,
    and that all copies are equal is the caller's to know (JAX would send them to see).
    """

    def put(leaf: Any, place: NamedSharding) -> jax.Array:
        if isinstance(leaf, jax.Array) and leaf.sharding == place:
            return leaf
        leaf = to_local_device(leaf)
        shape = np.shape(leaf)
        indices = place.addressable_devices_indices_map(shape)
        parts = [
            jax.device_put(leaf if place.is_fully_replicated else leaf[index], device)
            for device, index in indices.items()
        ]
        return jax.make_array_from_single_device_arrays(shape, place, parts)

    if all(place.is_fully_addressable for place in jax.tree.leaves(places)):
        return jax.device_put(tree, places)
    return jax.tree.map(put, tree, places)


def to_local_device(tree: PyTree) -> PyTree:
    """Every array whole on one device of this process.

    What is split over devices is gathered, in which all processes take part.
    """
    leaves = [leaf for leaf in jax.tree.leaves(tree) if mesh_of(leaf) is not None]
    split = [leaf for leaf in leaves if not leaf.is_fully_replicated]
    if split:
        whole = NamedSharding(split[0].sharding.mesh, PartitionSpec())
        gathered = iter(jax.jit(_same, out_shardings=whole)(split))

    def local(leaf: Any) -> Any:
        if mesh_of(leaf) is None:
            return leaf
        return (leaf if leaf.is_fully_replicated else next(gathered)).addressable_data(
            0
        )

    return jax.tree.map(local, tree)


def _same(tree: PyTree) -> PyTree:
    return tree


def use_mesh(mesh: Mesh | None) -> contextlib.AbstractContextManager:
    """Lets what is traced inside see the mesh (`jaxdd.members.map_members`)."""
    if mesh is None:
        return contextlib.nullcontext()
    return jax.sharding.use_abstract_mesh(mesh.abstract_mesh)


def shard_batch(mesh: Mesh | None, batch: Batch) -> Batch:
    """The batch with its rows split over `data`; for use inside jit.

    Rows are the axis before the image's own three, so the second one of a
    class-balanced batch. Batches that do not divide evenly stay whole, and so does
    everything without a mesh.

    Args:
      mesh: as made by `make_mesh`, or None.
      batch: of one step.
    """
    if batch.image is None:  # no images: nothing whose rows could be split
        return batch
    rows = batch._replace(step=None)
    split = shard_rows(mesh, rows, axis=batch.image.ndim - 4)
    return batch if split is rows else split._replace(step=batch.step)


def shard_rows(mesh: Mesh | None, tree: PyTree, *, axis: int = 0) -> PyTree:
    """Arrays with their rows split over `data`; for use inside jit.

    Rows that do not divide evenly stay whole, and so does everything without a mesh.

    Args:
      mesh: as made by `make_mesh`, or None.
      tree: arrays with the same number of rows.
      axis: of the rows.
    """
    if mesh is None or mesh.shape["data"] == 1:
        return tree
    if any(leaf.shape[axis] % mesh.shape["data"] for leaf in jax.tree.leaves(tree)):
        return tree
    # Inside `spread` the mesh is the one in which `seed` is no longer to be seen.
    around = jax.sharding.get_abstract_mesh()
    now = mesh if around.empty else around
    split = NamedSharding(now, PartitionSpec(*(None,) * axis, "data"))
    return jax.tree.map(
        lambda leaf: jax.lax.with_sharding_constraint(leaf, split), tree
    )


def spread(
    mesh: Mesh | None, how: Literal["map", "vmap"], step: Step, *, shared: bool
) -> Step:
    """A step of one network as a step of many, a share of them on each device.

    Networks never meet, so nothing is communicated over `seed` as long as the state
    lies there split (`split_lead`) and their number is a multiple of that axis;
    otherwise the last network is repeated inside the step, and the copies dropped.
    Over `data`, rows that the step gives to `shard_rows` are split.

    Args:
      mesh: as made by `make_mesh`, or None.
      how: the networks of one device one after another (map, the faster on CPUs) or
        together (vmap).
      step: (state, data) -> (state, metrics), of one network.
      shared: all networks see the same data; else its arrays have a leading axis too.

    Returns:
      A step whose state and metrics have the networks as their leading axis.
    """

    def local(states: PyTree, data: PyTree) -> tuple[PyTree, Metrics]:
        if how == "vmap":
            return jax.vmap(step, in_axes=(0, None if shared else 0))(states, data)
        if shared:
            return jax.lax.map(lambda state: step(state, data), states)
        return jax.lax.map(lambda pair: step(*pair), (states, data))

    if mesh is None:
        return local
    split = PartitionSpec("seed")
    # Nothing comes back replicated, so there is nothing for check_vma to find; with
    # it, every loop in a step would have to say over which axes its carry varies.
    sharded = jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(split, PartitionSpec() if shared else split),
        out_specs=split,
        axis_names={"seed"},
        check_vma=False,
    )

    def many(states: PyTree, data: PyTree) -> tuple[PyTree, Metrics]:
        count = jax.tree.leaves(states)[0].shape[0]
        fit = partial(_repeat_last, more=-count % mesh.shape["seed"])
        after = sharded(fit(states), data if shared else fit(data))
        return jax.tree.map(lambda leaf: leaf[:count], after)

    return many


def _repeat_last(tree: PyTree, *, more: int) -> PyTree:
    """Arrays with `more` copies of the last entry of their leading axis appended."""
    if not more:
        return tree
    return jax.tree.map(
        lambda leaf: jnp.concatenate([leaf, jnp.repeat(leaf[-1:], more, 0)]), tree
    )


def split_lead(mesh: Mesh | None, tree: PyTree) -> PyTree:
    """The leading axis of every array split over `seed`, as `spread` works on it.

    A length that is no multiple of that axis, or no mesh, leaves the arrays whole.
    """
    if mesh is None:
        return jax.device_put(tree)
    whole, split = (NamedSharding(mesh, PartitionSpec(*s)) for s in ((), ("seed",)))
    places = jax.tree.map(
        lambda leaf: whole if leaf.shape[0] % mesh.shape["seed"] else split, tree
    )
    return _put(tree, places)


def on_mesh(mesh: Mesh | None, drive: Drive) -> Drive:
    """A drive whose data lie whole on every device of the mesh: its steps run there.

    The state it returns lies on one device, for a caller that knows of no mesh.
    """

    def placed(
        step: Step,
        state: PyTree,
        num_steps: int,
        data: PyTree,
        *,
        stage: str,
    ) -> tuple[PyTree, Metrics]:
        data = replicate(mesh, data)
        state, metrics = drive(step, state, num_steps, data, stage=stage)
        return to_local_device(state), metrics

    return placed


def mesh_of(tree: PyTree) -> Mesh | None:
    """The mesh on which the tree's arrays lie, if they lie on more than one device."""
    for leaf in jax.tree.leaves(tree):
        where = getattr(leaf, "sharding", None)
        if isinstance(where, NamedSharding) and where.mesh.size > 1:
            return where.mesh  # type: ignore[return-value]
    return None


def placed_copy(tree: PyTree, mesh: Mesh | None) -> PyTree:
    """As `replicate`, but nothing is shared with `tree`, so that it may be donated."""
    return _copy(replicate(mesh, tree))


@jax.jit
def _copy(tree: PyTree) -> PyTree:
    def copy(leaf: jax.Array) -> jax.Array:
        leaf = jnp.copy(leaf)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return leaf
        # Python numbers are weakly typed, and would change type in the first step.
        return jax.lax.convert_element_type(leaf, leaf.dtype)

    return jax.tree.map(copy, tree)


_GROUP = Path("/sys/fs/cgroup/memory.max")  # what a container may take


def memory_budget(gigabytes: float) -> int:
    """Bytes of each device that kernels may take, the same in all processes.

    Args:
      gigabytes: as asked for; 0 = half of the memory of a CPU, the other half of which
        data and other programs need, or three quarters of an accelerator's.

    Raises:
      InputError: a negative number.
    """
    if not gigabytes >= 0:
        raise InputError(
            f"run.memory_budget={gigabytes}: GB a device, above 0; 0 = as it has"
        )
    if gigabytes:
        return int(gigabytes * 1e9)
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    # Blocks are part of the program, and all processes run the same one.
    return agreement.share(int(limit) * 3 // 4 if limit else _host_bytes() // 2)


def _host_bytes() -> int:
    """Of the machine, or of the container this process is in."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        allowed = _GROUP.read_text().strip()
    except OSError:
        return total
    return min(total, int(allowed)) if allowed.isdigit() else total
