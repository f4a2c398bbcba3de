"""`metrics.jsonl`: one line for each step of every stage, in the order they ran.

A line is {"stage", "step", the metrics, "time"}; time is in seconds since the epoch and
the only field that differs between two runs of the same configuration.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from jaxdd import files
from jaxdd.errors import InputError

__all__ = ["MetricsLog", "read_metrics"]


class MetricsLog:
    """Appends rows to a file, and cuts it back when a stage goes on from a checkpoint.

    Args:
      path: the file; its folder is made when the first row is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        rows, damaged = _read(path)
        if damaged:
            self._rewrite(rows)
        self._count = Counter(row["stage"] for row in rows)

    def align(self, stage: str, step: int, history: dict[str, np.ndarray]) -> None:
        """Makes the stage's rows those of steps 0 to `step` - 1; others are kept.

        Args:
          stage: name of the stage.
          step: number of steps done.
          history: the metrics of these steps, each [step, ...]; fills in rows that a
            crash of the machine, or a person, removed from the file.

        Raises:
          InputError: the file cannot be written; it is unchanged.
        """
        if self._count[stage] > step:
            rows, _ = _read(self.path)
            self._rewrite([r for r in rows if r["stage"] != stage or r["step"] < step])
            self._count[stage] = step
        have = self._count[stage]
        self.append(stage, have, {name: rows[have:] for name, rows in history.items()})

    def append(self, stage: str, first: int, metrics: dict[str, np.ndarray]) -> None:
        """Adds one row for each step of a chunk.

        Args:
          stage: name of the stage.
          first: number of the chunk's first step.
          metrics: by name, each [n, ...]; without any metric there are no rows.

        Raises:
          InputError: the file cannot be written.
        """
        columns = {name: _plain(rows) for name, rows in metrics.items()}
        now = round(time.time(), 3)
        lines = [
            json.dumps(
                {"stage": stage, "step": first + row}
                | dict(zip(columns, values, strict=True))
                | {"time": now}
            )
            for row, values in enumerate(zip(*columns.values(), strict=True))
        ]
        if lines:
            self._write("".join(f"{line}\n" for line in lines))
            self._count[stage] += len(lines)

    def _write(self, text: str) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as handle:
                handle.write(text)
        except OSError as error:
            raise InputError(
                f"cannot write {self.path}: {error.strerror or error}. Nothing that"
                " was saved is lost; make room and run the same command again"
            ) from error

    def _rewrite(self, rows: list[dict[str, Any]]) -> None:
        text = "".join(f"{json.dumps(row)}\n" for row in rows)
        files.write_atomic(self.path, lambda handle: handle.write(text.encode()))


def read_metrics(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """The rows of a `metrics.jsonl` as arrays.

    Args:
      path: the file; a missing one holds nothing, and a torn line is ignored.

    Returns:
      For each stage, in the order they ran, the columns by name ("step" and "time"
      among them), each [steps].
    """
    stages: dict[str, list[dict[str, Any]]] = {}
    for row in _read(path)[0]:
        stages.setdefault(row["stage"], []).append(row)
    return {
        stage: {
            name: np.asarray([row[name] for row in rows])
            for name in rows[0]
            if name != "stage"
        }
        for stage, rows in stages.items()
    }


def _read(path: Path) -> tuple[list[dict[str, Any]], bool]:
    """All whole rows, and whether there was any other line."""
    rows: list[dict[str, Any]] = []
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    for line in lines:
        # A kill in the middle of a write leaves half a line, or one without its end.
        with contextlib.suppress(ValueError, AttributeError):
            row = json.loads(line)
            if line.endswith(b"\n") and {"stage", "step"} <= row.keys():
                rows.append(row)
    return rows, len(rows) < len(lines)


def _plain(values: np.ndarray) -> list[Any]:
    """Python numbers; float32 with the few digits that identify it."""
    if values.dtype == np.float32:
        # The shortest decimal of a float32 is a third as long as that of its double.
        flat = [float(text) for text in values.ravel().astype(str)]
        values = np.asarray(flat, np.float64).reshape(values.shape)
    return values.tolist()
