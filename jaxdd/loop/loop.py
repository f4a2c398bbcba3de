"""Drives the steps of every long stage: compiled chunks, checkpoints, logs, a bar.

A chunk is one compiled call that runs up to `chunk` steps without touching the host.
Everything else (metrics, hooks, saves, signals) happens between chunks, on a grid that
does not depend on when a run was killed.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxdd.base import PyTree, Streamed
from jaxdd.devices import agreement
from jaxdd.devices import mesh as devices
from jaxdd.loop import hooks as between
from jaxdd.loop.checkpoint import Checkpoints, Saved
from jaxdd.loop.chunk import Step, compiled_chunk
from jaxdd.loop.log import MetricsLog
from jaxdd.loop.progress import Bar, progress_bar
from jaxdd.loop.stream import StreamReader

__all__ = ["Loop", "Timing", "chunk_length"]

_PROGRAMS: dict[Any, Callable] = {}  # compiled chunks of this process, oldest first
_MOST_PROGRAMS = 32

Rows = dict[str, np.ndarray]  # metrics of consecutive steps, each [steps, ...]


class Timing(NamedTuple):
    """What a stage cost in this process."""

    steps: int
    compile_seconds: float
    seconds: float  # of the steps, host work between chunks included


class Loop:
    """A `Drive` with checkpoints, logs and a progress bar.

    Of several processes all run the steps and save, and process 0 logs and draws. A
    state and data that lie on no mesh are then spread whole over all devices, and what
    is returned lies on one again.

    Under `workdir` it keeps `checkpoints/<stage>` and `metrics.jsonl`. The same call
    after a kill goes on from the last checkpoint with the same arrays and metrics as
    if nothing had happened; a finished stage returns its result at once.

    Args:
      workdir: folder of the run; None keeps nothing.
      config_hash: identifies the configuration; the checkpoints of another are refused.
      chunk: most steps in one compiled call (see `chunk_length`).
      save_every: steps between checkpoints, rounded up to whole chunks; 0 leaves it to
        `seconds_between_saves`.
      seconds_between_saves: a chunk that ends this long after the last save is saved
        too; inf leaves it to `save_every`. The end of a stage is always saved.
      hooks: called after each chunk, in this order.
      progress: draw bars.

    Attributes:
      timings: of each stage that ran in this process.
    """

    def __init__(
        self,
        workdir: Path | None = None,
        *,
        config_hash: str = "",
        chunk: int = 50,
        save_every: int = 500,
        seconds_between_saves: float = 30.0,
        hooks: Sequence[between.Hook] = (),
        progress: bool = True,
    ) -> None:
        self.timings: dict[str, Timing] = {}
        self._workdir = workdir
        self._config_hash = config_hash
        self._most = chunk
        self._save_every = save_every
        self._seconds = seconds_between_saves
        self._hooks = tuple(hooks)
        self._progress = progress
        self._log = None
        if workdir is not None and agreement.is_first():
            self._log = MetricsLog(workdir / "metrics.jsonl")

    def __call__(
        self,
        step: Step,
        state: Any,
        num_steps: int,
        data: PyTree,
        *,
        stage: str,
    ) -> tuple[Any, dict[str, Any]]:
        """Runs a stage, or what is left of it.

        Args:
          step: pure; (state, data) -> (state, metrics), structure preserved. A step
            function that comes again with the same shapes is not compiled again.
          state: the state to start from; not consumed. It holds no NaN.
          num_steps: steps in all.
          data: constant arrays; an argument of the compiled program. A stream besides
            them (`Streamed`) is read a chunk ahead.
          stage: names bar, checkpoints and rows; used once per run.

        Returns:
          The last state, and the metrics of all steps as NumPy, each [num_steps, ...].

        Raises:
          NonFiniteError: a metric is not finite, or the state holds a NaN.
          Interrupted: SIGINT or SIGTERM came; the chunk was finished and saved.
          HostTransferError: the step calls the host.
          InputError: the work directory belongs to another configuration, or cannot
            be written.
        """
        mesh = devices.mesh_of((state, data))
        if mesh is not None or jax.process_count() == 1:
            state = devices.placed_copy(state, mesh)
            return self._stage(step, state, num_steps, data, stage)
        state = devices.placed_copy(state, devices.make_mesh())
        state, rows = self._stage(step, state, num_steps, data, stage)
        return devices.to_local_device(state), rows

    def _stage(
        self, step: Step, state: Any, num_steps: int, data: PyTree, stage: str
    ) -> tuple[Any, Rows]:
        """A stage on the devices of its state, from its last checkpoint on."""
        streamed = isinstance(data, Streamed)
        if num_steps == 0:
            return state, {} if streamed else _no_metrics(step, state, data)
        with ExitStack() as stack:
            store = self._store(stage, num_steps)
            saved = stack.enter_context(store).restore(state) if store else None
            saved = saved or Saved(0, state, {})
            if saved.step == num_steps:
                return saved.state, saved.metrics
            stop = stack.enter_context(between.signals())
            bar = stack.enter_context(
                progress_bar(stage, saved.step, num_steps, self._progress)
            )
            length, reader = chunk_length(num_steps, self._most), None
            if streamed:
                reader = stack.enter_context(StreamReader(data.stream, length))
                data = data.data
            run = _Stage(stage, num_steps, store, stop, bar, length, reader)
            data = devices.replicate(devices.mesh_of(state), data)
            return self._run(run, step, saved, data)

    def _run(
        self, run: _Stage, step: Step, saved: Saved, data: PyTree
    ) -> tuple[Any, Rows]:
        """The steps that are left of a stage."""
        done, state = saved.step, saved.state
        history = [saved.metrics] if done else []
        if self._log is not None:
            self._log.align(run.name, done, saved.metrics)
        began = time.monotonic()
        program = self._program(step, run, state, data, run.streamed(run.chunk(done)))
        compiled = time.monotonic()
        run.bar.compiled()
        due = _Schedule(run.length, self._save_every, self._seconds)
        last = False
        while not last:
            steps = run.chunk(done)
            state, rows = self._advance(program, state, data, run, steps)
            done = steps[1]
            history.append(rows)
            run.bar.advance(steps[1] - steps[0], rows)
            for hook in self._hooks:
                hook.on_chunk(run.name, done, state, rows)
            stop, save = run.stop.agreed(due(done))
            last = done == run.num_steps or stop
            if save or last:
                history = [_joined(history)]
                run.save(done, state, history[0])
        run.finish(done)
        self.timings[run.name] = Timing(
            done - saved.step, compiled - began, time.monotonic() - compiled
        )
        return state, history[0]

    def _advance(
        self,
        program: Callable,
        state: Any,
        data: PyTree,
        run: _Stage,
        steps: tuple[int, int],
    ) -> tuple[Any, Rows]:
        """Runs steps [first, end) on the device, then looks at what came out."""
        (first, end), stage, mesh = steps, run.name, devices.mesh_of(state)
        # The one transfer to the device, before the guard forbids them.
        count = devices.replicate(mesh, np.int32(end - first))
        streamed = [devices.replicate(mesh, run.streamed(steps))] if run.reader else []
        run.prefetch(end)
        with jax.transfer_guard("disallow"):
            state, buffers, has_nan = program(state, data, count, *streamed)
        if jax.process_count() > 1:
            buffers, has_nan = devices.to_local_device((buffers, has_nan))
        buffers, has_nan = jax.device_get((buffers, has_nan))
        rows = {name: _rows(buffer, end - first) for name, buffer in buffers.items()}
        if self._log is not None:
            good = between.finite_rows(rows)
            self._log.append(stage, first, {n: r[:good] for n, r in rows.items()})
        between.check_finite(stage, (first, end - 1), rows, bool(has_nan))
        return state, rows

    def _program(
        self, step: Step, run: _Stage, state: Any, data: PyTree, streamed: PyTree
    ) -> Callable:
        """The compiled chunk; made once for each step function and set of shapes."""
        streamed = devices.replicate(devices.mesh_of(state), streamed)
        leaves, structure = jax.tree.flatten((state, data, streamed))
        shapes = ((jax.typeof(x), x.sharding) for x in leaves)
        key = (step, run.length, structure, *shapes)
        if key not in _PROGRAMS:
            program = compiled_chunk(step, run.length, state, data, streamed)
            if len(_PROGRAMS) == _MOST_PROGRAMS:
                del _PROGRAMS[next(iter(_PROGRAMS))]
            _PROGRAMS[key] = program
        return _PROGRAMS[key]

    def _store(self, stage: str, num_steps: int) -> Checkpoints | None:
        if self._workdir is None:
            return None
        folder = self._workdir / "checkpoints"
        return Checkpoints(folder, stage, num_steps, self._config_hash)


@dataclasses.dataclass(frozen=True)
class _Stage:
    """A stage while it runs."""

    name: str
    num_steps: int
    store: Checkpoints | None
    stop: between.Stop
    bar: Bar
    length: int  # of a chunk
    reader: StreamReader | None

    def chunk(self, done: int) -> tuple[int, int]:
        """The steps after `done`, up to the end of their chunk."""
        return done, min(self.num_steps, (done // self.length + 1) * self.length)

    def streamed(self, steps: tuple[int, int]) -> PyTree:
        return self.reader.rows(steps) if self.reader is not None else None

    def prefetch(self, done: int) -> None:
        if self.reader is not None:
            self.reader.prefetch(self.chunk(done))

    def save(self, done: int, state: Any, metrics: Rows) -> None:
        if self.store is not None:
            self.store.save(done, state, metrics)

    def finish(self, done: int) -> None:
        """Waits for the last save, so that a later stage never outlives this one's."""
        if self.store is not None:
            self.store.wait()
        if self.stop:
            kept = (
                f"saved in {self.store.folder}; the same command goes on from there"
                if self.store is not None
                else "not saved in a work directory; what the cache holds stays"
            )
            raise between.Interrupted(
                f"{self.stop.name}: stage {self.name!r} stopped after step {done} of"
                f" {self.num_steps}; its state is {kept}"
            )


class _Schedule:
    """Whether a save is due, called with the steps done at the end of each chunk."""

    def __init__(self, length: int, every: int, seconds: float) -> None:
        self._every = -(-every // length) * length
        self._seconds = seconds
        self._last = time.monotonic()

    def __call__(self, done: int) -> bool:
        due = time.monotonic() - self._last >= self._seconds
        due = due or (self._every > 0 and done % self._every == 0)
        if due:
            self._last = time.monotonic()
        return due


def chunk_length(num_steps: int, most: int = 50) -> int:
    """Steps in one compiled call: a 20th of the stage, so that its bar moves.

    It depends on nothing that differs between a run and its continuation.

    Args:
      num_steps: steps of the stage.
      most: upper bound; shorter chunks cost about a millisecond each.
    """
    return max(1, min(most, -(-num_steps // 20)))


def _rows(buffer: np.ndarray, count: int) -> np.ndarray:
    rows = np.asarray(buffer)[:count]
    # bfloat16 and its kin are no types of NumPy's own, nor of JSON.
    return rows if rows.dtype.isbuiltin == 1 else rows.astype(np.float32)


def _joined(history: Sequence[Rows]) -> Rows:
    return {n: np.concatenate([rows[n] for rows in history]) for n in history[0]}


def _no_metrics(step: Step, state: Any, data: PyTree) -> Rows:
    shapes = jax.eval_shape(step, state, data)[1]
    return {n: np.zeros((0, *s.shape), s.dtype) for n, s in shapes.items()}
