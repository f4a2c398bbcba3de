"""Several processes as one run: how they meet, and what they must agree on.

Every process runs the same program on the same data; process 0 alone writes. Where a
process could decide differently from the others (what is on disk, a signal, the time),
they agree first: one that goes its own way leaves the others waiting for ever.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np

from jaxdd.base import InputError
from jaxdd.prepare.cache import Together
from jaxdd.run.config import DistributedConfig

__all__ = [
    "Launch",
    "agreed",
    "barrier",
    "everywhere",
    "in_turn",
    "is_first",
    "launch",
    "leave",
    "same",
    "share",
    "start",
    "together",
]

T = TypeVar("T")

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
    (see `jaxdd.run.supervise`).

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


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def barrier(name: str) -> None:
    """Returns when all processes have come here."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(name)


def everywhere(flag: bool) -> bool:
    """Whether the flag is true in every process."""
    return bool(_gathered(np.int32(flag)).all())


def agreed(stop: bool, due: bool) -> tuple[bool, bool]:
    """Whether any process was asked to stop, and what process 0 says is due."""
    flags = _gathered(np.array([stop, due], np.int32))
    return bool(flags[:, 0].any()), bool(flags[0, 1])


def same(name: str, text: str) -> None:
    """Checks that a text is the same in all processes.

    Raises:
      InputError: it is not, and in which processes.
    """
    digest = np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8)
    digests = _gathered(digest.astype(np.int32))
    other = np.flatnonzero((digests != digests[0]).any(1))
    if other.size:
        raise InputError(
            f"{name}: differs between process 0 and process"
            f" {', '.join(map(str, other))}. All processes need the same command, data"
            " and version of jaxdd"
        )


def share(value: Any) -> Any:
    """What process 0 gives, in all processes; anything that JSON can hold."""
    if jax.process_count() == 1:
        return value
    from jax.experimental import multihost_utils

    data = np.frombuffer(json.dumps(value).encode(), np.uint8).astype(np.int32)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(data.size)))
    padded = np.zeros(size, np.int32)
    if is_first():
        padded = data
    text = multihost_utils.broadcast_one_to_all(padded)
    return json.loads(np.asarray(text).astype(np.uint8).tobytes())


def in_turn(act: Callable[[], T]) -> T:
    """Process 0 acts first, then the others, who find what it left on disk.

    Raises:
      InputError: in all processes, if process 0 meets one.
    """
    if jax.process_count() == 1:
        return act()
    if not is_first():
        if problem := share(None):
            raise InputError(problem)
        result = act()
    else:
        result = _first(act)
    barrier("in turn")
    return result


def _first(act: Callable[[], T]) -> T:
    try:
        result = act()
    except InputError as error:
        share(str(error))
        raise
    share(None)
    return result


def together() -> Together:
    """How processes that prepare something keep together."""
    return Together(everywhere, in_turn)


def _gathered(values: np.ndarray) -> np.ndarray:
    """The values of every process, [processes, ...]."""
    if jax.process_count() == 1:
        return np.asarray(values)[None]
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(values))
