"""Decoding and reading CIFAR-10 from packed JPEGs, against bare Pillow processes.

python experiments/bench_data.py            # or: make bench

The archive of class folders is looked for in JAXDD_DATA (`cifar10*.tar.*`). One round
decodes all images three ways, one after the other: as many bare Pillow processes as
there are cores (images in memory), ours from memory, ours from the archive. Then a
fresh process reads the corpus from the cache.
"""

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import benchmark

from jaxdd.data.readers import folders
from jaxdd.data.readers.archive import SUFFIXES, open_tree
from jaxdd.data.readers.decode import decode_all
from jaxdd.data.source import silent
from jaxdd.records import DataSpec

ROUNDS = 5
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
import json, sys, time
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


def bare(images: Path, cores: int) -> float:
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
        process.stdout.readline()  # type: ignore[union-attr]
    began = time.perf_counter()
    for process in team:
        process.stdin.write("\n")  # type: ignore[union-attr]
        process.stdin.flush()  # type: ignore[union-attr]
    for process in team:
        process.communicate()
    return time.perf_counter() - began


def timed(task) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    task()
    return time.perf_counter() - began


def cached(source: Path, cache: Path) -> float:
    """Seconds in which a fresh process reads the corpus, after its imports."""
    command = [sys.executable, "-c", CACHED, str(source), str(cache)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    """Measures, and adds a row to experiments/results/bench_data.jsonl."""
    folder = Path(os.environ.get("JAXDD_DATA", "."))
    found = sorted(folder.glob("cifar10*.tar.*"))
    if not found:
        raise SystemExit(f"no cifar10*.tar.* in JAXDD_DATA={str(folder)!r}")
    tree = open_tree(found[0], lambda name: name.lower().endswith(SUFFIXES))
    images, cores = list(tree.files), os.cpu_count() or 1
    seconds: dict[str, list[float]] = {"bare": [], "memory": [], "archive": []}
    with tempfile.TemporaryDirectory() as scratch:
        stored = Path(scratch) / "images.pickle"
        stored.write_bytes(pickle.dumps([data for _, data in images]))
        for _ in range(ROUNDS):
            seconds["bare"].append(bare(stored, cores))
            seconds["memory"].append(timed(lambda: decode_all(iter(images))))
            read = lambda: folders.read(found[0], DataSpec("folder"), silent)
            seconds["archive"].append(timed(read))
        cache = Path(scratch) / "cache"
        cached(found[0], cache)  # fills it
        again = [cached(found[0], cache) for _ in range(ROUNDS)]
    best = {name: min(values) for name, values in seconds.items()}
    row = {"benchmark": "decode packed CIFAR-10", "images": len(images)}
    row |= {"processes": cores, "ours": benchmark.summary(seconds["memory"])}
    row |= {"theirs": benchmark.summary(seconds["bare"])}
    row |= {"speed, best": round(best["bare"] / best["memory"], 3)}
    ratios = [b / m for b, m in zip(seconds["bare"], seconds["memory"], strict=True)]
    row |= {"speed, median": round(sorted(ratios)[len(ratios) // 2], 3)}
    row |= {"with unpacking": benchmark.summary(seconds["archive"])}
    row |= {"speed with unpacking": round(best["bare"] / best["archive"], 3)}
    row |= {"read from cache": benchmark.summary(again)}
    benchmark.append("bench_data", row | benchmark.origin())
    print(json.dumps({name: round(value, 2) for name, value in best.items()}))


if __name__ == "__main__":
    main()
