"""Authors' programs beside ours: processes that answer, and modules of reference/."""

import argparse
import contextlib
import importlib.util
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from benchmark import Taken, Turn

REFERENCES = Path(__file__).resolve().parent / "reference"


class Reference:
    """Another program, in a process of its own, that makes steps when asked.

    It answers on standard output in JSON: first about itself, then, for each number
    given on standard input, what each of that many steps took, in seconds or as
    `Taken`. An empty line ends it.

    Args:
      command: None where there is no such program; then it has no turns.
      first: a line it is told before it answers at all.

    Attributes:
      about: what it said about itself (versions, threads).
    """

    def __init__(self, command: Sequence[str] | None, first: str | None = None) -> None:
        self.about: dict[str, Any] = {}
        self._process = None
        if command is not None:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            self.about = self._answer(first)

    def turns(self, count: int = 1, steps: int = 1) -> dict[str, Turn]:
        """As `theirs`: a turn of `count` requests, each of so many steps."""
        if self._process is None:
            return {}
        return {"theirs": lambda: self.run(count, steps)}

    def run(self, count: int, steps: int = 1) -> list[Taken]:
        """What each of the requests took, a step."""
        told = [t if isinstance(t, dict) else {"wall": t} for t in self._answer(count)]
        return [{kind: value / steps for kind, value in t.items()} for t in told]

    def close(self) -> None:
        """Ends the process."""
        if self._process is not None:
            self._say("")
            self._process.wait(timeout=60)

    def _say(self, text: Any) -> None:
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    def _answer(self, request: Any) -> Any:
        if request is not None:
            self._say(request)
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"the reference program ended: {self._process.args}")
        return json.loads(line)


def add_options(
    parser: argparse.ArgumentParser, checkout: str | None, threads: bool = False
) -> None:
    """Adds the options that name the authors' program and its Python."""
    if checkout is not None:
        parser.add_argument("--checkout", type=Path, help=f"a copy of {checkout}")
    parser.add_argument("--torch-python", type=Path, help="a Python with PyTorch")
    if threads:
        parser.add_argument("--torch-threads", type=int, default=0)


@contextlib.contextmanager
def running(
    options: argparse.Namespace,
    program: str,
    *arguments: Any,
    arrays: Mapping[str, Any] | None = None,
    first: str | None = None,
) -> Iterator[Reference]:
    """The program in reference/, running; one without turns where it was not given.

    Args:
      options: of the command line, with `add_options`.
      program: its path below reference/.
      arguments: of its command line.
      arrays: what both programs get; their file comes after the word `timing`.
      first: a line it is told before it answers at all.
    """
    command = [options.torch_python, REFERENCES / program]
    if hasattr(options, "checkout"):
        command += ["--checkout", options.checkout]
    with tempfile.TemporaryDirectory() as folder:
        if arrays is not None:
            np.savez(Path(folder) / "arrays.npz", **arrays)
            command += ["timing", Path(folder) / "arrays.npz"]
        if getattr(options, "torch_threads", None) is not None:
            arguments = (*arguments, "--threads", options.torch_threads)
        words = [str(word) for word in (*command, *arguments)]
        process = Reference(None if None in command else words, first)
        yield process
        process.close()


def adapter(program: str) -> ModuleType:
    """The module of that path below reference/."""
    path = REFERENCES / program
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
