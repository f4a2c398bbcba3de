"""What the benchmarks share: reference programs on request, and rows with origin."""

import json
import os
import statistics
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jaxdd.report import environment

RESULTS = Path(__file__).resolve().parent / "results"


class Reference:
    """Another program, in a process of its own, that makes steps when asked.

    It answers on standard output in JSON: first about itself, then, for each number
    given on standard input, the seconds of each of that many steps. An empty line ends
    it. `first` is a line it is told before it answers at all.

    Attributes:
      about: what it said about itself (versions, threads).
    """

    def __init__(self, command: Sequence[str], first: str | None = None) -> None:
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if first is not None:
            self._say(first)
        self.about = self._answer()

    def run(self, steps: int) -> list[float]:
        """The seconds of each of the next steps."""
        self._say(str(steps))
        return self._answer()

    def close(self) -> None:
        """Ends the process."""
        self._say("")
        self._process.wait(timeout=60)

    def _say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the reference program ended: {self._process.args}")
        return json.loads(line)


def summary(seconds: Sequence[float]) -> dict[str, Any]:
    """Best and median seconds a step; the best is least disturbed by other work."""
    return {
        "best": round(min(seconds), 4),
        "median": round(statistics.median(seconds), 4),
        "all": [round(value, 4) for value in seconds],
    }


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
    """Adds a row to experiments/results/<name>.jsonl and prints it."""
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
