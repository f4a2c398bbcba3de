"""How a run is driven: steps, saves, devices, processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["DistributedConfig", "LoopConfig"]


@dataclass(frozen=True)
class LoopConfig:
    """How the steps of the long stages are driven."""

    steps: int = 1000
    """Outer steps of distillation; one-shot methods ignore it."""
    chunk: int = 50
    """Steps in one compiled call; metrics, progress and saves happen between calls."""
    save_every: int = 500
    """Steps between checkpoints, rounded up to whole chunks; 0 = only finished
    stages are kept."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the network bodies; kernels, solves and statistics stay float32."""
    cache: Path | None = None
    """Folder for decoded data and trained teachers, shared by all runs. Default: the
    environment variable JAXDD_CACHE, else ~/.cache/jaxdd."""
    progress: bool = True
    """Draw progress bars."""
    devices: int = 1
    """Devices over which the rows of a real batch are split; 0 = all there are."""
    student_devices: int = 0
    """Devices over which students are spread at evaluation; 0 = all there are, on a CPU
    one for each core."""
    together: int = 0
    """Students of a row that each device trains together; 0 = one on a CPU, up to 16 on
    an accelerator."""
    memory_budget: float = 0.0
    """GB of each device that a kernel and its gradient may take; it is computed in
    blocks that fit. 0 = half of what a CPU has, three quarters of an accelerator's."""


@dataclass(frozen=True)
class DistributedConfig:
    """One run of several processes; the same command on each, but for `process`."""

    auto: bool = False
    """Let JAX find the processes: SLURM, Open MPI, Kubernetes, a TPU pod, or the
    variables JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID."""
    coordinator: str | None = None
    """HOST:PORT of process 0."""
    processes: int | None = None
    """How many there are."""
    process: int | None = None
    """Which one this is, from 0."""
    timeout: int = 300
    """Seconds to wait for a process that does not come."""
