"""How much memory of a device a run plans with."""

import os
from pathlib import Path

import jax

from jaxdd.base import InputError
from jaxdd.run import agreement

__all__ = ["memory_budget"]

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
