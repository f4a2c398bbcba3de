"""What the benchmarks share: programs that take turns, their ratios, and their rows.

A turn is a call that works for a while and tells how long: a list of `Taken`, one for
each step or one for all of them, always a step's. Sides of a row are called `ours` and
`theirs`, and ratios `speed, best` (with a part, `speed, forward, best`), however
they were measured: how many times as fast ours is.
"""

import argparse
import copy
import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdd import whiten
from jaxdd.base import Assets, Corpus, Distiller, Metrics, State
from jaxdd.data import corpus
from jaxdd.data.feeds import sample
from jaxdd.data.load import load
from jaxdd.devices.mesh import mesh_of, placed_copy, replicate
from jaxdd.errors import InputError
from jaxdd.loop.chunk import compiled_chunk
from jaxdd.records import DataSpec
from jaxdd.report import environment

RESULTS = Path(__file__).resolve().parent / "results"
CLASSES, SHAPE, SEED = 10, (32, 32, 3), 0
KINDS = ("best", "median", "cpu")

Taken = dict[str, float]
"""Seconds of a step: `wall`, and `cpu` of all threads where the program tells it."""
Turn = Callable[[], Sequence[Taken]]


# Our side --------------------------------------------------------------------------


class Program:
    """A step in the compiled chunk that the runner would run, from state to state.

    Args:
      step: (state, data) -> (state, metrics).
      state: to begin with; it is copied, for the chunk consumes what it is given.
      data: constant arrays.
      steps: of a turn.

    Attributes:
      about: seconds of compiling and MB of temporary memory.
      metrics: of the last turn's steps.
    """

    def __init__(self, step: Callable, state: Any, data: Any, steps: int = 1) -> None:
        mesh = mesh_of(state)
        self._state, self._data = placed_copy(state, mesh), replicate(mesh, data)
        self._steps, self._count = steps, replicate(mesh, np.int32(steps))
        began = time.perf_counter()
        self._chunk = compiled_chunk(step, steps, self._state, self._data)
        self.about, self.metrics = about(self._chunk, began), {}

    def again(self, state: Any) -> "Program":
        """The same program, from another state."""
        other = copy.copy(self)
        other._state = placed_copy(state, mesh_of(state))
        return other

    def __call__(self) -> list[Taken]:
        """One turn."""
        call = lambda: self._chunk(self._state, self._data, self._count)
        (self._state, self.metrics, _), taken = timed(call)
        return [{kind: value / self._steps for kind, value in taken.items()}]


def ours(
    distiller: Distiller,
    state: State,
    data: Any,
    steps: int = 1,
    assets: Assets | None = None,
) -> Program:
    """The steps of a method as they run: sampled from a Corpus, or on a given Batch."""

    def step(state: State, given: tuple[Any, Assets]) -> tuple[State, Metrics]:
        data, assets = given
        if isinstance(data, Corpus):
            data = sample(distiller.feed, data, assets, state.key, state.step)
        return distiller.step(state, data, assets)

    return Program(step, state, (data, assets or {}), steps)


class Compiled:
    """A compiled function and its arguments.

    Attributes:
      about: seconds of compiling and MB of temporary memory.
      program: what was compiled.
      value: what it returned last.
    """

    def __init__(self, function: Callable, *arguments: Any) -> None:
        began = time.perf_counter()
        self.program: Any = jax.jit(function).lower(*arguments).compile()
        self.about, self.value = about(self.program, began), None
        self._arguments = arguments

    def __call__(self) -> list[Taken]:
        """One call."""
        self.value, taken = timed(lambda: self.program(*self._arguments))
        return [taken]


def about(compiled: Any, began: float) -> dict[str, float]:
    """What a compiled program takes; `began` is when compiling did."""
    return {
        "MB": round(compiled.memory_analysis().temp_size_in_bytes / 1e6, 3),
        "compile seconds": round(time.perf_counter() - began, 2),
    }


def timed(call: Callable[[], Any]) -> tuple[Any, Taken]:
    """What a call returns, and how long it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = jax.block_until_ready(call())
    cpu = time.process_time() - cpu
    return result, {"wall": time.perf_counter() - wall, "cpu": cpu}


def repeated(run: Callable[[int], Any], steps: int) -> Turn:
    """Turns of a function that makes so many steps, in this process."""

    def turn() -> list[Taken]:
        _, taken = timed(lambda: run(steps))
        return [{kind: value / steps for kind, value in taken.items()}]

    return turn


def one_by_one(turns: Sequence[Turn], steps: int = 1) -> Turn:
    """One turn out of several: the sum of what they take, divided by the steps."""

    def turn() -> list[Taken]:
        all_ = [taken for one in turns for taken in one()]
        return [{k: sum(taken[k] for taken in all_) / steps for k in all_[0]}]

    return turn


# Data ------------------------------------------------------------------------------


def noise(count: int, classes: int = CLASSES, shape: tuple[int, ...] = SHAPE) -> Corpus:
    """Random images; the classes by turns, or no labels where there are 0."""
    rng = np.random.default_rng(SEED)
    image = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    label = np.arange(count, dtype=np.int32) % classes if classes else None
    return corpus.build(image, label, whiten.fit("standard", image), name="noise")


def cifar10(limit: int | None, instead: int) -> Corpus:
    """Training images of CIFAR-10; where JAXDD_DATA has none, so much noise."""
    cache = Path(os.environ.get("JAXDD_CACHE") or "~/.cache/jaxdd").expanduser()
    spec = DataSpec("cifar10", train_limit=limit)
    try:
        return load(spec, cache=cache / "data").train
    except InputError:
        return noise(instead)


def whitened(real: Corpus) -> np.ndarray:
    """All images as both programs get them."""
    return np.asarray(whiten.apply(real.whitening, whiten.to_unit(real.image)))


# Turns and ratios ------------------------------------------------------------------


def in_turns(programs: Mapping[str, Turn], rounds: int) -> dict[str, list[Taken]]:
    """What the programs took, one after the other; the first round warms up."""
    seconds: dict[str, list[Taken]] = {name: [] for name in programs}
    for number in range(rounds + 1):
        for name, turn in programs.items():
            taken = turn()
            seconds[name] += taken if number else []
    return seconds


def measured(programs: Mapping[str, Turn], rounds: int) -> dict[str, dict[str, Any]]:
    """The summary of each program, in turns."""
    taken = in_turns(programs, rounds)
    return {name: summary(entries) for name, entries in taken.items()}


def summary(taken: Sequence[Taken]) -> dict[str, Any]:
    """Best and median seconds a step; the best is least disturbed by other work."""
    wall = [entry["wall"] for entry in taken]
    row = {"best": round(min(wall), 6), "median": round(statistics.median(wall), 6)}
    row["all"] = [round(value, 6) for value in wall]
    if all("cpu" in entry for entry in taken):
        row["cpu"] = round(min(entry["cpu"] for entry in taken), 6)
    return row


def rates(seconds: Mapping[str, Any], amount: float) -> dict[str, Any]:
    """A summary in so much a second, of the amount that a step handles."""
    row = {k: round(amount / seconds[k], 1) for k in KINDS if k in seconds}
    return row | {"seconds": seconds["all"]}


def compared(
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any] | None,
    name: str = "speed",
    *,
    higher: bool = False,
) -> dict[str, float]:
    """How many times as fast ours is; nothing where there is no other program.

    Args:
      ours, theirs: summaries.
      name: of the ratios; each is `NAME, KIND`.
      higher: they hold rates, not seconds.
    """
    ratios = {}
    for kind in KINDS if theirs else ():
        if kind in ours and kind in theirs:
            ratio = theirs[kind] / ours[kind]
            ratios[f"{name}, {kind}"] = round(1 / ratio if higher else ratio, 3)
    return ratios


def against(
    programs: Mapping[str, Turn], options: argparse.Namespace
) -> dict[str, Any]:
    """Summaries of `options.rounds` turns, and how `ours` compares with `theirs`."""
    row: dict[str, Any] = dict(measured(programs, options.rounds))
    return row | compared(row["ours"], row.get("theirs"))


def fastest(
    row: Mapping[str, Any], ways: Sequence[str], *, higher: bool = False
) -> dict[str, Any]:
    """The best of our ways as `ours`, and its ratios."""
    choose = max if higher else min
    way = choose(ways, key=lambda name: row[name]["best"])
    ratios = compared(row[way], row.get("theirs"), higher=higher)
    return {"way": way, "ours": row[way]} | ratios


def ways_table(rows: Sequence[Mapping[str, Any]], *, higher: bool = False) -> str:
    """Theirs and each of our ways: best, median, per processor second, and speed."""
    lines = [f"{'':22}{'best':>10}{'median':>10}{'cpu':>10}{'speed':>8}"]
    for row in rows:
        lines.append(row["benchmark"])
        for name, entry in row.items():
            if name == "ours" or not (isinstance(entry, dict) and "best" in entry):
                continue
            ratios = compared(entry, row.get("theirs"), higher=higher)
            speed = f"{ratios['speed, best']:7.2f}x" if ratios else ""
            figures = "".join(f"{entry[kind]:10.5g}" for kind in KINDS)
            lines.append(f"  {name:20}{figures}{speed}")
    return "\n".join(lines)


# Rows ------------------------------------------------------------------------------


def origin() -> dict[str, Any]:
    """Date, commit, hardware and versions of a measurement."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": environment.commit(),
        "hardware": environment.hardware() | {"processor": _processor()},
        "load": [round(value, 1) for value in os.getloadavg()],
        "versions": environment.versions(),
    }


def append(name: str, row: dict[str, Any]) -> None:
    """Adds a row and its origin to experiments/results/<name>.jsonl and prints it."""
    row = row | {"origin": origin()}
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"{name}.jsonl").open("a") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row, indent=1))


def _processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if "model name" in line]
    return names[0] if names else ""
