"""Kills a run at chosen moments and starts it again; compares two work directories.

Works on any command whose stages run through `jaxdd.loop.loop`: the toy program of
`test_kill.py` and the real command line alike.
"""

import json
import random
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "Moment",
    "assert_same_rows",
    "kill_at",
    "kill_moments",
    "metrics_rows",
    "run_to_end",
]

_PATIENCE = 1200.0  # seconds for a process that does not come to its moment
_LONGEST_DELAY = 0.04  # seconds; a save of a small state takes about as long


class Moment(NamedTuple):
    """When to kill: `delay` (share of the longest) after `stage` has logged `rows`."""

    stage: str  # its name, or how the names of its parts begin
    rows: int
    delay: float

    @property
    def mark(self) -> bytes:
        """How each of the stage's rows begins."""
        return f'{{"stage": "{self.stage}'.encode()


def kill_moments(stages: Mapping[str, int], kills: int, seed: int) -> list[Moment]:
    """Random moments in ascending order, `kills` in each stage of so many rows.

    Each stage is cut into equal parts with a kill in each, and a part without one at
    the end, so that a run started again always has steps left before its next moment.
    """
    draw = random.Random(seed)
    return [
        Moment(stage, int(rows * (part + draw.random()) / (kills + 1)), draw.random())
        for stage, rows in stages.items()
        for part in range(kills)
    ]


def kill_at(
    command: Sequence[str],
    workdir: Path,
    moment: Moment,
    env: Mapping[str, str] | None = None,
) -> str:
    """Starts a run and kills it at a moment.

    Args:
      command: the run.
      workdir: where it writes its metrics.
      moment: when.
      env: environment of the run.

    Returns:
      "killed", or "ended" where the run was over before its moment came.
    """
    log = workdir / "metrics.jsonl"
    begin = _content(log)
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        patience = time.monotonic() + _PATIENCE
        while process.poll() is None:
            content = _content(log)
            if content != begin and content.count(moment.mark) > moment.rows:
                break
            assert time.monotonic() < patience, f"{moment} never came"
            time.sleep(0.002)
        time.sleep(moment.delay * _LONGEST_DELAY)
    finally:
        process.kill()
        _, error = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), error
    return "ended" if process.returncode == 0 else "killed"


def run_to_end(command: Sequence[str], env: Mapping[str, str] | None = None) -> str:
    """Runs a command that must end well; returns what it said on standard error."""
    done = subprocess.run(
        command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def metrics_rows(workdir: Path) -> list[dict[str, Any]]:
    """The rows of `metrics.jsonl` without their times."""
    rows = []
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        del row["time"]
        rows.append(row)
    return rows


def assert_same_rows(one: Path, other: Path) -> None:
    """Two work directories hold the same metrics, in the same order."""
    a, b = metrics_rows(one), metrics_rows(other)
    for left, right in zip(a, b, strict=False):
        assert left == right
    assert len(a) == len(b)


def _content(log: Path) -> bytes:
    return log.read_bytes() if log.exists() else b""
