"""How students that are trained together are spread over devices."""

from __future__ import annotations

import math
from functools import partial
from typing import Literal

import jax

from jaxdd.base import PyTree
from jaxdd.devices.mesh import (
    make_mesh,
    replicate,
    shard_rows,
    split_lead,
    spread,
    to_local_device,
)
from jaxdd.errors import InputError
from jaxdd.records import LoopConfig
from jaxdd.training.together import Group

__all__ = ["student_group"]


_TOGETHER = 16  # students of one accelerator in one program


def _gather(tree: PyTree) -> PyTree:
    return jax.device_get(to_local_device(tree))


def student_group(config: LoopConfig, students: int) -> Group:
    """How the students of a row are trained together on the run's devices.

    Each device has its own: one at a time on a CPU, up to 16 at once on an accelerator.
    Where there are more devices than students, the rows of a batch are split as well.

    Args:
      config: `student_devices` and `together`.
      students: of each row.

    Raises:
      InputError: a number out of range.
    """
    there = jax.device_count()
    if not 0 <= config.student_devices <= there:
        raise InputError(
            f"run.student_devices={config.student_devices}: there are {there}; 0 = all"
        )
    if jax.process_count() > 1 and config.student_devices not in (0, there):
        raise InputError(
            f"run.student_devices={config.student_devices}: a run of several processes"
            f" uses all {there} devices; leave it at 0"
        )
    if config.together < 0:
        raise InputError(f"run.together={config.together}: must be >= 0; 0 = as fits")
    count = config.student_devices or there
    cpu = jax.default_backend() == "cpu"
    how: Literal["map", "vmap"] = "map" if cpu else "vmap"
    together = config.together or (1 if cpu else _TOGETHER)
    if cpu and jax.process_count() == 1:
        count = min(count, students)  # threads share what is left of the cores anyway
    if count == 1:
        size = min(together, students)
        return Group(size, partial(spread, None, how)) if size > 1 else Group()
    seeds = math.gcd(students, count) if students < count else count
    mesh = make_mesh(seeds, count // seeds)
    return Group(
        size=seeds * max(1, min(together, students // seeds)),
        lift=partial(spread, mesh, how),
        place=partial(split_lead, mesh),
        place_shared=partial(replicate, mesh),
        gather=_gather,
        split=partial(shard_rows, mesh) if mesh.shape["data"] > 1 else None,
    )
