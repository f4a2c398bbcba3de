"""Starts the processes of one run on this machine, and gathers how they end."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tests.flags import QUICK_TO_COMPILE

__all__ = [
    "PATIENCE",
    "ROOT",
    "Ended",
    "command",
    "ends",
    "environment",
    "free_port",
    "start",
]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 1200  # seconds until a process is taken for one that never ends


class Ended(NamedTuple):
    """How a process has ended."""

    code: int
    out: str
    err: str


def free_port() -> int:
    """A port of the loopback that nobody listens to."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def environment(devices: int) -> dict[str, str]:
    """With so many fake devices a process, all with the same rounding."""
    flags = f"--xla_force_host_platform_device_count={devices}"
    return os.environ | {
        "XLA_FLAGS": f"{flags} {QUICK_TO_COMPILE}",
        "PYTHONPATH": str(ROOT),
    }


def command(*options: str) -> list[str]:
    """The command line of the project."""
    return [sys.executable, str(ROOT / "experiments" / "run.py"), *options]


def start(words: Sequence[str], devices: int = 2) -> subprocess.Popen:
    """A process that can be waited for with `ends`."""
    return subprocess.Popen(
        words,
        env=environment(devices),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ends(processes: Sequence[subprocess.Popen]) -> list[Ended]:
    """Waits for all of them; those that take longer are killed and fail the test."""
    ended = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=PATIENCE)
            ended.append(Ended(process.returncode, out, err))
    finally:
        for process in processes:
            process.kill()
    return ended
