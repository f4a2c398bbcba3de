"""What happens between the chunks of a stage: hooks, the finiteness check, signals."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from jaxdd.devices import agreement

_ONE_SIGNAL = 0.5  # seconds: a scheduler and a supervisor may both pass the same one on

__all__ = [
    "Hook",
    "Interrupted",
    "NonFiniteError",
    "Stop",
    "check_finite",
    "finite_rows",
    "signals",
]


class Hook(Protocol):
    """Something that looks at a run from outside: pictures, trackers, evaluations.

    `on_chunk` is called after every chunk, hooks in the order they were given.
    `step` is the number of steps done; `metrics` are those of the chunk, each
    [steps of the chunk]; `state` is on the device and is consumed by the next chunk,
    so a hook copies what it wants to keep. Steps done before a resume are not repeated.
    """

    def on_chunk(
        self, stage: str, step: int, state: Any, metrics: dict[str, np.ndarray]
    ) -> None: ...


class NonFiniteError(RuntimeError):
    """A metric or the state is no longer finite; names the stage and the steps.

    Attributes:
      stage: the stage that failed.
      steps: first and last step of the chunk in which it happened.
    """

    def __init__(self, message: str, stage: str, steps: tuple[int, int]) -> None:
        super().__init__(message)
        self.stage = stage
        self.steps = steps


class Interrupted(KeyboardInterrupt):
    """A run was asked to stop, and stopped between two chunks, its state saved."""


class Stop:
    """Whether a signal has asked the run to stop."""

    def __init__(self) -> None:
        self.name = ""

    def __bool__(self) -> bool:
        return bool(self.name)

    def agreed(self, due: bool) -> tuple[bool, bool]:
        """Whether any process was asked to stop, and whether process 0 finds it due.

        Signals and clocks differ between processes, which must save and stop together.
        """
        stop, due = agreement.agreed(bool(self), due)
        if stop:
            self.name = self.name or "a signal to another process"
        return stop, due


@contextlib.contextmanager
def signals() -> Iterator[Stop]:
    """Turns SIGINT and SIGTERM into a flag for as long as the block runs.

    The first signal raises the flag; a second one, half a second later or more, has
    its old meaning and stops at once. Outside the main thread nothing is caught.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    caught = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in caught}
    first = 0.0

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def ask(number: int, frame: object) -> None:
        nonlocal first
        del frame
        if not stop:
            first = time.monotonic()
            stop.name = signal.Signals(number).name
        elif time.monotonic() - first >= _ONE_SIGNAL:
            restore()
            signal.raise_signal(number)

    for number in caught:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        restore()


def finite_rows(metrics: dict[str, np.ndarray]) -> int | None:
    """How many rows come before the first that is not finite; None if all are."""
    found = []
    for rows in metrics.values():
        finite = np.isfinite(rows).reshape(len(rows), -1).all(1)
        if not finite.all():
            found.append(int(np.argmin(finite)))
    return min(found, default=None)


def check_finite(
    stage: str,
    steps: tuple[int, int],
    metrics: dict[str, np.ndarray],
    state_has_nan: bool,
) -> None:
    """Raises where something in a chunk is not finite.

    Args:
      stage: name of the stage.
      steps: the chunk's first and last step.
      metrics: of the chunk, each [steps, ...].
      state_has_nan: whether the state after the chunk holds a NaN.

    Raises:
      NonFiniteError: naming the metric and its first bad step, or, where only the
        state is broken, the chunk.
    """
    row = finite_rows(metrics)
    if row is None and not state_has_nan:
        return
    text = f"the state holds a NaN after step {steps[1]}, though all metrics are finite"
    if row is not None:
        name = next(n for n in metrics if not np.isfinite(metrics[n][row]).all())
        value = metrics[name][row]
        bad = value[~np.isfinite(value)].flat[0]
        text = f"{name} is {bad} at step {steps[0] + row}{_of_kernel(metrics, row)}"
    raise NonFiniteError(
        f"stage {stage!r}: {text}. Steps {steps[0]} to {steps[1]} were not saved, the"
        " checkpoint before them is intact. A smaller learning rate or a larger ridge"
        " is the usual remedy",
        stage,
        steps,
    )


def _of_kernel(metrics: dict[str, np.ndarray], row: int) -> str:
    """Whether it was the regression's kernel, which its objectives report on."""
    signs = [metrics[name][row] for name in ("condition", "ridge") if name in metrics]
    if not signs or np.isfinite(signs).all():
        return ""
    return (
        ", because the kernel of the synthetic images is not finite there or no ridge"
        " makes it positive definite"
    )
