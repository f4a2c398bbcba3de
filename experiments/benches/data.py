"""Decoding and reading CIFAR-10 from packed JPEGs, against bare Pillow processes.

  python experiments/bench.py data

The archive of class folders is looked for in JAXDD_DATA (`cifar10*.tar.*`). One round
decodes all images three ways, one after the other: as many bare Pillow processes as
there are cores (images in memory), ours from memory, ours from the archive. Then a
fresh process reads the corpus from the cache.
"""

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import benchmark

from jaxdd.data.readers import folders
from jaxdd.data.readers.archive import SUFFIXES, open_tree
from jaxdd.data.readers.decode import decode_all
from jaxdd.data.source import silent
from jaxdd.records import DataSpec

BARE = """
import io, pickle, sys
from PIL import Image
with open(sys.argv[1], "rb") as handle:
    images = pickle.load(handle)[int(sys.argv[2]) :: int(sys.argv[3])]
print("ready", flush=True)
sys.stdin.readline()
for data in images:
    Image.open(io.BytesIO(data)).convert("RGB").tobytes()
print("done", flush=True)
"""
CACHED = """
import sys, time
from pathlib import Path
import jax
from jaxdd.data.load import load
from jaxdd.records import DataSpec
jax.devices()
began = time.perf_counter()
data = load(DataSpec("cifar10", Path(sys.argv[1])), cache=Path(sys.argv[2]))
jax.block_until_ready((data.train.image, data.test.image))
print(time.perf_counter() - began)
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of the command line."""
    parser.add_argument("--rounds", type=int, default=5)


def rows(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """All ways in turns."""
    folder = Path(os.environ.get("JAXDD_DATA", "."))
    source = next(iter(sorted(folder.glob("cifar10*.tar.*"))), None)
    if source is None:
        raise SystemExit(f"no cifar10*.tar.* in JAXDD_DATA={str(folder)!r}")
    tree = open_tree(source, lambda name: name.lower().endswith(SUFFIXES))
    images, cores = list(tree.files), os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as scratch:
        stored, cache = Path(scratch) / "images.pickle", Path(scratch) / "cache"
        stored.write_bytes(pickle.dumps([data for _, data in images]))
        ways = {
            "theirs": lambda: bare(stored, cores),
            "ours": wall(lambda: decode_all(iter(images))),
            "with unpacking": wall(
                lambda: folders.read(source, DataSpec("folder"), silent)
            ),
        }
        row = {"benchmark": "decode packed CIFAR-10", "images": len(images)}
        row |= {"processes": cores} | benchmark.against(ways, options)
        row |= benchmark.compared(
            row["with unpacking"], row["theirs"], "speed with unpacking"
        )
        # The first round fills it.
        fresh = {"read from cache": lambda: cached(source, cache)}
        yield row | benchmark.measured(fresh, options.rounds)


def wall(task: Callable[[], Any]) -> benchmark.Turn:
    """Seconds of one call; its processor time is its children's."""

    def turn() -> list[benchmark.Taken]:
        began = time.perf_counter()
        task()
        return [{"wall": time.perf_counter() - began}]

    return turn


def bare(images: Path, cores: int) -> list[benchmark.Taken]:
    """Seconds of Pillow alone, one process a core, images in memory."""
    team = [
        subprocess.Popen(
            [sys.executable, "-c", BARE, str(images), str(i), str(cores)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for i in range(cores)
    ]
    for process in team:
        process.stdout.readline()
    began = time.perf_counter()
    for process in team:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in team:
        process.communicate()
    return [{"wall": time.perf_counter() - began}]


def cached(source: Path, cache: Path) -> list[benchmark.Taken]:
    """Seconds in which a fresh process reads the corpus, after its imports."""
    command = [sys.executable, "-c", CACHED, str(source), str(cache)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return [{"wall": float(done.stdout)}]
