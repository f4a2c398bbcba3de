"""CIFAR-10 and CIFAR-100 as A. Krizhevsky publishes them: binary and python version.

Each as the tar.gz or as the folder it unpacks to. Binary records are a label byte
(CIFAR-100: coarse, then fine) and 3,072 pixels, channel by channel; the python version
holds the same in pickles, which are read without executing anything.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdd.data.readers.archive import open_tree
from jaxdd.data.source import Arrays, Progress
from jaxdd.errors import InputError
from jaxdd.foreign import pickles
from jaxdd.records import DataSpec

__all__ = [
    "BESIDE",
    "cifar10_binary",
    "cifar10_python",
    "cifar100_binary",
    "cifar100_python",
]

BESIDE = ("data_batch_*", "test_batch*", "batches.meta*", "*.bin", "train", "test")
"""What belongs to a version in whose folder one file was found (`Form.beside`)."""

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
_Split = tuple[np.ndarray, np.ndarray]  # images [n,32,32,3], labels [n]


class _Version(NamedTuple):
    """The files of one version and how they are decoded: (bytes, where) -> ..."""

    train: tuple[str, ...]
    test: str
    meta: str
    split: Callable[[bytes, str], _Split]
    names: Callable[[bytes, str], list[str]]


def cifar10_binary(path: Path, spec: DataSpec, progress: Progress) -> Arrays:
    """Reads `cifar-10-binary.tar.gz`, its folder, or the folder of a file in it.

    Returns:
      x_train, x_test uint8 [n,32,32,3], y_train, y_test [n], class_names [k] where the
      files have them. So do the three other readers.

    Raises:
      InputError: a file is missing or damaged, or a label is out of range.
    """
    return _read(_CIFAR10_BINARY, path, spec, progress)


def cifar10_python(path: Path, spec: DataSpec, progress: Progress) -> Arrays:
    """Reads `cifar-10-python.tar.gz`, its folder, or the folder of a file in it."""
    return _read(_CIFAR10_PYTHON, path, spec, progress)


def cifar100_binary(path: Path, spec: DataSpec, progress: Progress) -> Arrays:
    """Reads `cifar-100-binary.tar.gz` or its folder, with the fine labels."""
    return _read(_CIFAR100_BINARY, path, spec, progress)


def cifar100_python(path: Path, spec: DataSpec, progress: Progress) -> Arrays:
    """Reads `cifar-100-python.tar.gz` or its folder, with the fine labels."""
    return _read(_CIFAR100_PYTHON, path, spec, progress)


def _members(version: _Version) -> tuple[str, ...]:
    return (*version.train, version.test, version.meta)


def _read(version: _Version, path: Path, spec: DataSpec, progress: Progress) -> Arrays:
    path = Path(path)
    if path.name in _members(version) and not path.is_dir():
        path = path.parent
    names = _members(version)
    splits: dict[str, _Split] = {}
    class_names: list[str] = []
    tree = open_tree(path, lambda name: name.rpartition("/")[2] in names)
    with progress(f"{spec.name}: {path.name}", len(names), "file") as advance:
        for member, data in tree.files:
            name, where = member.rpartition("/")[2], f"{path} ({member})"
            if name in splits:
                raise InputError(f"{path} holds {name} twice; which one counts?")
            if name == version.meta:
                class_names = version.names(data, where)
            else:
                splits[name] = version.split(data, where)
            advance(1)
    missing = [name for name in names[:-1] if name not in splits]
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)}; unpack or download it again"
        )
    return _join(version, splits, class_names)


def _join(
    version: _Version, splits: dict[str, _Split], class_names: list[str]
) -> Arrays:
    images, labels = zip(*(splits[name] for name in version.train), strict=True)
    x_test, y_test = splits[version.test]
    arrays = {
        "x_train": np.concatenate(images),
        "y_train": np.concatenate(labels),
        "x_test": x_test,
        "y_test": y_test,
    }
    return arrays | ({"class_names": np.array(class_names)} if class_names else {})


def _binary_split(data: bytes, where: str, *, head: int, classes: int) -> _Split:
    """Records of `head` label bytes, the last of which counts, and the pixels."""
    size = head + _PIXELS
    if not data or len(data) % size:
        raise InputError(
            f"{where} has {len(data):,} bytes, which are no whole number of records of "
            f"{size:,}; it is damaged, download it again"
        )
    records = np.frombuffer(data, np.uint8).reshape(-1, size)
    label = records[:, head - 1].astype(np.int32)
    _check_range(label, classes, where)
    return _to_images(records[:, head:]), label


def _pickled_split(data: bytes, where: str, *, key: str, classes: int) -> _Split:
    record = _load(data, where)
    pixels, label = _field(record, "data", where), _field(record, key, where)
    fits = isinstance(pixels, np.ndarray) and pixels.dtype == np.uint8
    if not fits or pixels.shape[1:] != (_PIXELS,) or not len(pixels):
        raise InputError(f"{where}: its data are no array uint8 [n,{_PIXELS}]")
    if not isinstance(label, list) or not all(type(n) is int for n in label):
        raise InputError(f"{where}: its {key} are no list of whole numbers")
    if len(label) != len(pixels):
        raise InputError(f"{where} has {len(label)} labels for {len(pixels)} images")
    outside = next((n for n in label if not 0 <= n < classes), None)
    if outside is not None:
        raise _out_of_range(outside, classes, where)
    return _to_images(pixels), np.array(label, np.int32)


def _to_images(pixels: np.ndarray) -> np.ndarray:
    """Planes of red, green and blue [n,3072] as images [n,32,32,3]."""
    planes = pixels.reshape(-1, 3, _SIDE, _SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def _check_range(label: np.ndarray, classes: int, where: str) -> None:
    if label.max() >= classes:
        raise _out_of_range(int(label.max()), classes, where)


def _out_of_range(label: int, classes: int, where: str) -> InputError:
    return InputError(
        f"{where} is damaged: a label is {label}, allowed are 0 to {classes - 1}. "
        "Download it again"
    )


def _text_names(data: bytes, where: str, *, classes: int) -> list[str]:
    try:
        lines = [line.strip() for line in data.decode("utf-8").splitlines()]
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is damaged: {error}") from error
    return _check_names([line for line in lines if line], classes, where)


def _pickled_names(data: bytes, where: str, *, key: str, classes: int) -> list[str]:
    names = _field(_load(data, where), key, where)
    if not isinstance(names, list):
        raise InputError(f"{where}: its {key} are no list")
    plain = [n.decode("utf-8", "replace") if type(n) is bytes else n for n in names]
    if not all(type(name) is str for name in plain):
        raise InputError(f"{where}: its {key} are no list of names")
    return _check_names(plain, classes, where)


def _check_names(names: list[str], classes: int, where: str) -> list[str]:
    if len(names) != classes or len(set(names)) != classes:
        raise InputError(
            f"{where} is damaged: it names {len(set(names))} classes in place of "
            f"{classes}. Download it again"
        )
    return names


def _load(data: bytes, where: str) -> dict[Any, Any]:
    allowed = pickles.numpy_globals()
    record = pickles.load(data, allowed=allowed, where=where, encoding="bytes")
    if not isinstance(record, dict):
        raise InputError(f"{where} holds a {type(record).__name__} in place of a dict")
    return record


def _field(record: dict[Any, Any], key: str, where: str) -> Any:
    """An entry whose key Python 2 wrote as bytes, and Python 3 writes as text."""
    for name in (key.encode(), key):
        if name in record:
            return record[name]
    raise InputError(f"{where} has no entry {key!r}; it is no batch of this data set")


_BATCHES = tuple(f"data_batch_{number}" for number in range(1, 6))
_CIFAR10_BINARY = _Version(
    train=tuple(f"{name}.bin" for name in _BATCHES),
    test="test_batch.bin",
    meta="batches.meta.txt",
    split=partial(_binary_split, head=1, classes=10),
    names=partial(_text_names, classes=10),
)
_CIFAR10_PYTHON = _Version(
    train=_BATCHES,
    test="test_batch",
    meta="batches.meta",
    split=partial(_pickled_split, key="labels", classes=10),
    names=partial(_pickled_names, key="label_names", classes=10),
)
_CIFAR100_BINARY = _Version(
    train=("train.bin",),
    test="test.bin",
    meta="fine_label_names.txt",
    split=partial(_binary_split, head=2, classes=100),
    names=partial(_text_names, classes=100),
)
_CIFAR100_PYTHON = _Version(
    train=("train",),
    test="test",
    meta="meta",
    split=partial(_pickled_split, key="fine_labels", classes=100),
    names=partial(_pickled_names, key="fine_label_names", classes=100),
)
