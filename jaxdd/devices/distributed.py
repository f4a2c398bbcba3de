"""How the processes of a run meet, and how they part."""

from __future__ import annotations

import os
import threading
from typing import Any, NamedTuple

import jax

from jaxdd.errors import InputError
from jaxdd.records import DistributedConfig

__all__ = [
    "Launch",
    "launch",
    "leave",
    "start",
]

_ADDRESS, _COUNT, _RANK = (
    "JAX_COORDINATOR_ADDRESS",
    "JAX_NUM_PROCESSES",
    "JAX_PROCESS_ID",
)


class Launch(NamedTuple):
    """How the processes of a run find one another; None is for JAX to detect."""

    coordinator: str | None
    processes: int | None
    process: int | None
    timeout: int


def launch(config: DistributedConfig) -> Launch | None:
    """What the options, or the environment, say; None for a run of one process.

    Args:
      config: `auto`, or all of `coordinator`, `processes` and `process`. With `auto`
        the variables JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID
        say it, if all are set; otherwise JAX looks for SLURM, Open MPI, Kubernetes or
        a TPU pod.

    Raises:
      InputError: options or variables are missing, or make no sense.
    """
    given = {
        "distributed.coordinator": config.coordinator,
        "distributed.processes": config.processes,
        "distributed.process": config.process,
    }
    if config.timeout < 1:
        raise InputError(f"distributed.timeout={config.timeout}: seconds, at least 1")
    if not config.auto:
        return _manual(given, config.timeout)
    asked = [name for name, value in given.items() if value is not None]
    if asked:
        raise InputError(
            f"distributed.auto together with {', '.join(asked)}: either JAX finds the"
            " processes by itself, or all of it is given"
        )
    variables = {name: os.environ.get(name) for name in (_ADDRESS, _COUNT, _RANK)}
    if None in variables.values():  # JAX reads the address alone, too
        return Launch(None, None, None, config.timeout)
    numbers = {n: _number(n, variables[n]) for n in (_COUNT, _RANK)}
    return _manual(variables | numbers, config.timeout)


def _number(name: str, text: str | None) -> int:
    if text is None or not text.isdecimal():
        raise InputError(f"{name}={text!r} in the environment: must be a number")
    return int(text)


def _manual(given: dict[str, Any], timeout: int) -> Launch | None:
    """Checks the address, the number of processes and the rank, under their names."""
    missing = [name for name, value in given.items() if value is None]
    if len(missing) == len(given):
        return None
    if missing:
        raise InputError(
            f"{', '.join(missing)}: missing. Give distributed.coordinator (HOST:PORT of"
            " process 0), distributed.processes and distributed.process together, or"
            " distributed.auto"
        )
    (where, address), (many, count), (which, rank) = given.items()
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdecimal() and 0 < int(port) < 65536):
        raise InputError(
            f"{where}={address!r}: must be HOST:PORT of process 0, such as"
            " 10.0.0.1:1234, the same on all processes"
        )
    if count < 1:
        raise InputError(f"{many}={count}: must be at least 1")
    if not 0 <= rank < count:
        raise InputError(
            f"{which}={rank}: with {count} processes it is 0 to {count - 1}, another"
            " one for each process"
        )
    return Launch(address, count, rank, timeout)


def start(how: Launch) -> None:
    """Meets the other processes. Nothing may have been computed before.

    A process that does not come, or dies later, makes JAX abort this one from C++
    (see `jaxdd.devices.supervise`).

    Raises:
      InputError: nothing says how to find the others.
    """
    detect = None if how.processes is None else "deactivate"
    try:
        jax.distributed.initialize(
            how.coordinator,
            how.processes,
            how.process,
            cluster_detection_method=detect,
            initialization_timeout=how.timeout,
            heartbeat_timeout_seconds=max(10, how.timeout // 3),
            shutdown_timeout_seconds=how.timeout,
        )
    except ValueError as error:
        raise InputError(
            f"distributed.auto: JAX found no cluster here ({error}). Give"
            " distributed.coordinator, distributed.processes and distributed.process"
        ) from error


def leave(seconds: float) -> None:
    """Parts from the other processes, if they come to part within so many seconds."""
    if jax.distributed.is_initialized():
        thread = threading.Thread(target=jax.distributed.shutdown, daemon=True)
        thread.start()
        thread.join(seconds)
