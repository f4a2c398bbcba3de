"""What the processes of a run agree on, and who writes.

Every process runs the same program on the same data; process 0 alone writes. Where a
process could decide differently from the others (what is on disk, a signal, the time),
they agree first: one that goes its own way leaves the others waiting for ever.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np

from jaxdd.errors import InputError
from jaxdd.prepare.prepared_cache import Together

__all__ = [
    "agreed",
    "barrier",
    "everywhere",
    "in_turn",
    "is_first",
    "same",
    "share",
    "together",
]

T = TypeVar("T")


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
    return bool(_gathered(np.array(flag, np.int32)).all())


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
    return Together(everywhere, in_turn, jax.process_count() == 1)


def _gathered(values: np.ndarray) -> np.ndarray:
    """The values of every process, [processes, ...]."""
    if jax.process_count() == 1:
        return np.asarray(values)[None]
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(values))
