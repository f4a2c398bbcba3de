"""Watches over the JAX process of a run of several processes.

When a process dies or never comes, JAX aborts the others from C++, where no Python
code can say anything. So the command starts JAX as a child, and says it here: which
process is missing, on which host, and that the run can go on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import jax

from jaxdd import files
from jaxdd.devices import distributed
from jaxdd.devices.distributed import Launch
from jaxdd.devices.hosts import Hosts, Verdict

__all__ = ["is_child", "live", "meet", "supervise"]

_LIFELINE, _RANK_FILE = "JAXDD_LIFELINE", "JAXDD_RANK_FILE"
_BEAT = 2.0  # seconds between two touches
_GRACE = 30.0  # for JAX to abort by itself once a process has ended
_PART = 60.0  # for the others to come to the end of a run
_FLEE = 5.0  # the same after a failure, when they may never come


def is_child() -> bool:
    """Whether this is the JAX process of a supervisor."""
    return _LIFELINE in os.environ


def supervise(arguments: Sequence[str], how: Launch, folder: Path) -> int:
    """Runs the command in a child process until it ends or cannot go on.

    SIGINT and SIGTERM are passed on to it.

    Args:
      arguments: the command line without the program.
      how: the processes meet; what is None the child finds out.
      folder: `hosts` of the work directory, which all processes share.

    Returns:
      The child's exit code, or 1 where another process is gone.
    """
    with tempfile.TemporaryDirectory() as scratch:
        rank_file = Path(scratch) / "rank.json"
        process, lifeline = _start(arguments, rank_file)
        before = _pass_on(process)
        try:
            return _Watch(process, how, folder, rank_file).run()
        finally:
            os.close(lifeline)
            for number, handler in before.items():
                signal.signal(number, handler)


def _start(arguments: Sequence[str], rank_file: Path) -> tuple[subprocess.Popen, int]:
    """The child, and the end of a pipe that closes when this process dies."""
    inner, outer = os.pipe()
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {
        **os.environ,
        _LIFELINE: str(inner),
        _RANK_FILE: str(rank_file),
        "PYTHONPATH": os.pathsep.join(paths),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "jaxdd", *arguments],
        env=environment,
        pass_fds=[inner],
        start_new_session=True,  # or a terminal would interrupt it beside us
    )
    os.close(inner)
    return process, outer


def _pass_on(process: subprocess.Popen) -> dict[int, Any]:
    """Sends SIGINT and SIGTERM to the child; returns the handlers there were."""

    def forward(number: int, frame: object) -> None:
        del frame
        process.send_signal(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    return {number: signal.signal(number, forward) for number in numbers}


class _Watch:
    """The child and the other processes, until there is nothing left to wait for."""

    def __init__(
        self, process: subprocess.Popen, how: Launch, folder: Path, rank_file: Path
    ) -> None:
        self._process = process
        self._folder = folder
        self._rank_file = rank_file
        self._patience = how.timeout
        self._silence = min(30.0, max(3 * _BEAT, how.timeout / 10))
        self._hosts: Hosts | None = None
        if how.process is not None and how.processes is not None:
            self._join(how.process, how.processes)

    def run(self) -> int:
        """Waits, and returns the exit code."""
        worried = None
        while self._process.poll() is None:
            self._beat()
            gone = self._hosts.gone() if self._hosts else []
            worried = (worried or time.monotonic()) if gone else None
            if worried and time.monotonic() - worried > self._wait_for(gone):
                self._process.kill()  # it waits for somebody who will not come
            self._nap()
        return self._conclude(self._process.returncode)

    def _wait_for(self, gone: list[Verdict]) -> float:
        ended = self._hosts and any(
            self._hosts.life(verdict.rank) == "ended" for verdict in gone
        )
        return _GRACE if ended else self._patience + _GRACE

    def _nap(self) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_BEAT)

    def _beat(self) -> None:
        if self._hosts is not None:
            self._hosts.touch()
        elif self._rank_file.exists():
            found = files.read_json(self._rank_file)
            self._join(found["rank"], found["processes"])

    def _join(self, rank: int, processes: int) -> None:
        pid = self._process.pid
        self._hosts = Hosts(self._folder, rank, processes, pid, self._silence)

    def _conclude(self, code: int) -> int:
        """Tells the others how it ended, and the user whose fault it was."""
        if self._hosts is None:
            if code < 0:
                _say(
                    f"error: the JAX process was ended by signal {-code} before it had"
                    " met the others; do all processes run, and reach the coordinator?"
                )
            return 1 if code < 0 else code
        self._hosts.end(code)
        if code == 0:
            return 0
        gone = self._culprits(code)
        for verdict in gone:
            _say(f"error: {verdict.text}")
        if gone:
            _say(
                "the run has stopped; once all hosts are there, the same command on"
                " each of them goes on from the last checkpoint"
            )
        elif code < 0:
            _say(
                f"error: the JAX process of this host was ended by signal {-code}; the"
                " same command goes on from the last checkpoint"
            )
        return 1 if gone or code < 0 else code

    def _culprits(self, code: int) -> list[Verdict]:
        """Who is gone; waits until that is clear, as the others may end later."""
        assert self._hosts is not None
        until = time.monotonic() + self._silence + 2 * _BEAT
        while not (gone := self._hosts.gone(code)) and time.monotonic() < until:
            if self._hosts.settled():
                break
            self._hosts.end(code)  # renews the date by which others are judged
            time.sleep(0.2)
        return gone


def live(main: Callable[[], int]) -> NoReturn:
    """The JAX process: the command itself, which ends with its supervisor."""
    threading.Thread(target=_follow, daemon=True).start()
    code = main()
    distributed.leave(_PART if code == 0 else _FLEE)
    sys.stdout.flush()
    sys.stderr.flush()
    # Not through exit handlers, where JAX would wait for processes that may be gone.
    os._exit(code)


def _follow() -> None:
    """Ends this process as soon as its supervisor is gone."""
    os.read(int(os.environ[_LIFELINE]), 1)
    os._exit(1)


def meet(how: Launch) -> None:
    """Meets the other processes, in a child; all but the first are silent from then on.

    Raises:
      InputError: as `distributed.start`.
    """
    distributed.start(how)
    found = {"rank": jax.process_index(), "processes": jax.process_count()}
    files.write_json(Path(os.environ[_RANK_FILE]), found)
    if found["rank"]:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115, until the end


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
