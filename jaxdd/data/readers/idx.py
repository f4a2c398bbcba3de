"""The idx files of MNIST and Fashion-MNIST: four in one folder, gzip or plain.

Layout (Y. LeCun's page): two zero bytes, the type (8 is uint8), the number of
dimensions, each dimension as a big-endian uint32, then the values row by row.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from jaxdd.data.source import Arrays, Progress
from jaxdd.errors import InputError
from jaxdd.records import DataSpec

__all__ = ["BESIDE", "read"]

BESIDE = ("train-labels[-.]idx1-ubyte*", "t10k-*[-.]idx?-ubyte*")
"""What `read` opens beside the training images (`Form.beside`)."""

_PARTS = {  # array -> file, number of dimensions
    "x_train": ("train-images", 3),
    "y_train": ("train-labels", 1),
    "x_test": ("t10k-images", 3),
    "y_test": ("t10k-labels", 1),
}
_CLASSES = 10
_FIRST_LABELS = {  # both data sets use the same file names
    "mnist": (5, 0, 4, 1, 9, 2, 1, 3, 1, 4),
    "fashion_mnist": (9, 0, 0, 3, 0, 2, 7, 2, 5, 5),
}
_LARGEST = 2**32  # bytes; a damaged header must not fill the memory
_CHUNK = 2**20


def read(path: Path, spec: DataSpec, progress: Progress) -> Arrays:
    """Reads the four files that lie beside the training images.

    Args:
      path: the training images; the others are found beside them, in either spelling
        (`train-images-idx3-ubyte`, `train-images.idx3-ubyte`), with `.gz` or without.
      spec: its name guards against taking one data set for the other.
      progress: told of every file.

    Returns:
      x_train, x_test uint8 [n,h,w], y_train, y_test uint8 [n].

    Raises:
      InputError: a file is missing, damaged, of another length than it says, or does
        not belong to the others.
    """
    path = Path(path)
    others = list(_PARTS)[1:]
    paths = {"x_train": path, **{n: _beside(path, *_PARTS[n]) for n in others}}
    arrays = {}
    with progress(f"{spec.name}: idx files", len(_PARTS), "file") as advance:
        for name, (_, rank) in _PARTS.items():
            arrays[name] = _read_file(paths[name], rank)
            advance(1)
    for split in ("train", "test"):
        _check_split(arrays, split, paths)
    _check_identity(arrays["y_train"], paths["y_train"], spec.name)
    return arrays


def _beside(path: Path, stem: str, rank: int) -> Path:
    names = [
        f"{stem}{mark}idx{rank}-ubyte{ending}"
        for mark in ("-", ".")
        for ending in (".gz", "")
    ]
    for name in names:
        if (path.parent / name).is_file():
            return path.parent / name
    raise InputError(
        f"{path.parent / names[0]} does not exist; {path.name} needs it beside it "
        f"(also taken: {', '.join(names[1:])})"
    )


def _read_file(path: Path, rank: int) -> np.ndarray:
    """One idx file of uint8 with `rank` dimensions."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as handle:
            return _parse(handle, rank)
    except (OSError, EOFError, ValueError, MemoryError, zlib.error) as error:
        if isinstance(error, FileNotFoundError):
            raise InputError(f"{path} does not exist") from error
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{path} cannot be read, it may be damaged: {reason}. Download it again"
        ) from error


def _parse(handle: IO[bytes] | gzip.GzipFile, rank: int) -> np.ndarray:
    header = 4 + 4 * rank
    start = handle.read(header)
    if len(start) < header:
        raise ValueError(f"it ends after {len(start)} bytes, inside its header")
    magic, *shape = struct.unpack(f">{1 + rank}I", start)
    if magic != 0x800 + rank:
        raise ValueError(f"its magic number is {magic}, {0x800 + rank} is wanted")
    size = math.prod(shape)
    if not 0 < size <= _LARGEST:
        raise ValueError(f"its dimensions {tuple(shape)} are impossible")
    values = _exactly(handle, size)
    return np.frombuffer(values, np.uint8).reshape(shape)


def _exactly(handle: IO[bytes] | gzip.GzipFile, size: int) -> bytearray:
    """The rest of a file that must have `size` bytes; gzip's checksum is verified."""
    values = bytearray()
    while chunk := handle.read(_CHUNK):
        values += chunk
        if len(values) > size:
            raise ValueError(f"it is longer than the {size} values that it announces")
    if len(values) < size:
        raise ValueError(f"it ends after {len(values)} of {size} values")
    return values


def _check_split(arrays: Arrays, split: str, paths: dict[str, Path]) -> None:
    image, label = arrays[f"x_{split}"], arrays[f"y_{split}"]
    where = paths[f"y_{split}"]
    if len(image) != len(label):
        raise InputError(
            f"{where} has {len(label)} labels, {paths[f'x_{split}'].name} has "
            f"{len(image)} images; one of them belongs to another data set"
        )
    if label.max() >= _CLASSES:
        row = int(label.argmax())
        raise InputError(
            f"{where} is damaged: label {row} is {label[row]}, allowed are 0 to "
            f"{_CLASSES - 1}. Download it again"
        )


def _check_identity(label: np.ndarray, path: Path, name: str) -> None:
    start = tuple(label[:10].tolist())
    found = [n for n, first in _FIRST_LABELS.items() if first == start]
    if name in _FIRST_LABELS and found and found != [name]:
        raise InputError(
            f"{path} belongs to {found[0]}, not to {name}: the two use the same file "
            "names. Give each data set a folder of its own"
        )
