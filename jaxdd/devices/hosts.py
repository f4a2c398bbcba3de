"""Which processes of a run live, seen through files that all of them can read.

Each process's supervisor keeps `hosts/rank<k>.json` in the work directory and touches
it every few seconds. Only times of files are compared, never clocks of machines.
"""

from __future__ import annotations

import dataclasses
import os
import socket
from pathlib import Path
from typing import Literal

from jaxdd import files

__all__ = ["Entry", "Hosts", "Verdict"]

_ABORT = -6  # SIGABRT: what JAX does to the processes that are left

Life = Literal["lives", "silent", "absent", "ended"]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One process. `code` is how its JAX process ended (negative: by which signal)."""

    rank: int
    processes: int
    host: str
    pid: int  # of its JAX process
    code: int | None = None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A process that is gone, and in words what is known about it."""

    rank: int
    text: str


class Hosts:
    """The processes of a run as one of them sees them.

    Args:
      folder: shared by all processes.
      rank: of this process.
      processes: how many there are.
      pid: of the JAX process of this one.
      silence: seconds without a touch after which a process counts as gone.
    """

    def __init__(
        self, folder: Path, rank: int, processes: int, pid: int, silence: float
    ) -> None:
        self._folder = folder
        self._silence = silence
        self._own = Entry(rank, processes, socket.gethostname(), pid)
        self._write()
        self._began = self._seen(rank)

    def touch(self) -> None:
        """Shows that this process lives."""
        if self._path(self._own.rank).exists():
            os.utime(self._path(self._own.rank))
        else:  # somebody has cleared the folder
            self._write()

    def end(self, code: int) -> None:
        """Tells the others how this process has ended."""
        self._own = dataclasses.replace(self._own, code=code)
        self._write()

    def others(self) -> list[int]:
        """The ranks of all other processes."""
        return [k for k in range(self._own.processes) if k != self._own.rank]

    def life(self, rank: int) -> Life:
        """What is known of a process. Entries of an earlier run do not count."""
        seen = self._seen(rank)
        if seen < self._began:
            return "absent"
        entry = self._read(rank)
        if entry is not None and entry.code is not None:
            return "ended"
        return "silent" if self._now() - seen > self._silence else "lives"

    def gone(self, code: int | None = None) -> list[Verdict]:
        """The processes whose end explains that this one cannot go on.

        Args:
          code: how this process has ended; None while it runs.
        """
        found = []
        for rank in self.others():
            life, entry = self.life(rank), self._read(rank)
            where = f"process {rank} on host {entry.host}" if entry else ""
            if life == "absent":
                last = (
                    f"; in an earlier run it was on host {entry.host}" if entry else ""
                )
                found.append(Verdict(rank, f"process {rank} did not come{last}"))
            elif life == "silent":
                found.append(Verdict(rank, f"{where} shows no sign of life"))
            elif entry is not None and _to_blame(entry.code, code):
                found.append(Verdict(rank, f"{where} {_ended(entry.code)}"))
        return found

    def settled(self) -> bool:
        """Whether nothing more is to be learned about the others."""
        return all(self.life(rank) != "lives" for rank in self.others())

    def _path(self, rank: int) -> Path:
        return self._folder / f"rank{rank}.json"

    def _write(self) -> None:
        files.write_json(self._path(self._own.rank), dataclasses.asdict(self._own))

    def _read(self, rank: int) -> Entry | None:
        try:
            return Entry(**files.read_json(self._path(rank)))
        except (ValueError, TypeError):  # absent, or of another version
            return None

    def _seen(self, rank: int) -> float:
        try:
            return self._path(rank).stat().st_mtime
        except OSError:
            return -1.0

    def _now(self) -> float:
        """The time by the clock that dates the files."""
        return self._seen(self._own.rank)


def _to_blame(theirs: int | None, mine: int | None) -> bool:
    """Whether another's end came of itself, and is not what ended this one as well."""
    if theirs in (None, 0, _ABORT):
        return False
    return mine is None or theirs < 0 or theirs != mine


def _ended(code: int | None) -> str:
    code = code or 0
    return f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
