"""Runs the command of every method with --smoke, all of them in this process.

python experiments/smoke.py
python experiments/smoke.py dm mtt

Most of a smoke run is importing and compiling, which the methods share here. Every run
has a work directory of its own, which is removed; the exit code tells of any failure.
"""

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a clone runs as it is

from jaxdd import methods
from jaxdd.run.cli import main

MORE = {"class_mean": ["--ipc", "1"]}  # what a method's smoke run needs besides


def smoke(method: str) -> int:
    """The exit code of a method's smoke run."""
    with tempfile.TemporaryDirectory() as folder:
        places = ["--workdir", f"{folder}/run"]
        return main(["--method", method, "--smoke", *MORE.get(method, []), *places])


def main_of(names: list[str]) -> int:
    """Runs all of them, and says at the end which failed."""
    failed = {name: code for name in names if (code := smoke(name))}
    print("failed, with their exit codes:", failed) if failed else print("all ran")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main_of(sys.argv[1:] or methods.names()))
