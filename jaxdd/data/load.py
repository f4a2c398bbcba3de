"""Finds a data set by name. One row of `SOURCES` is all that a data set needs."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdd import files
from jaxdd.base import Dataset, InputError
from jaxdd.data import digits, npz
from jaxdd.data.cache import cached
from jaxdd.data.check import check_split
from jaxdd.data.corpus import dataset_from_arrays
from jaxdd.records import DataSpec

__all__ = ["SOURCES", "Source", "load"]

_FORMAT = "1"  # of the cache: change it when decoding changes
_TEN = tuple("0123456789")


class Source(NamedTuple):
    """Where a data set comes from.

    `file` is its file inside the data folder: None where it is embedded, "" where the
    user names it. `read` and `fingerprint` (a hash of the content) take its path, or
    nothing where it is embedded.
    """

    read: Callable[..., dict[str, np.ndarray]]
    file: str | None
    class_names: tuple[str, ...] = ()
    fingerprint: Callable[..., str] = files.hash_file


SOURCES = {
    "digits": Source(digits.read, None, _TEN, digits.fingerprint),
    "mnist": Source(npz.read, "mnist.npz", _TEN),
    "npz": Source(npz.read, ""),
}


def load(spec: DataSpec, *, cache: Path | None = None) -> Dataset:
    """Reads a data set, brings it to shape and puts it on the device.

    Args:
      spec: names it. A `dir` that is an .npz file is read whatever the name says.
      cache: folder for decoded arrays, or None.

    Raises:
      InputError: the name is unknown, the file is missing, damaged or incomplete, or
        the arrays are not as `dataset_from_arrays` wants them.
    """
    if spec.name not in SOURCES:
        near = difflib.get_close_matches(spec.name, SOURCES, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(
            f"data.name {spec.name!r} is unknown.{hint} Known: {', '.join(SOURCES)}"
        )
    name, source = spec.name, SOURCES[spec.name]
    path = _find(spec, source)
    if path is not None and path.name != source.file:
        name, source = path.stem, SOURCES["npz"]
    arrays = _read(source, path, name, cache)
    return dataset_from_arrays(
        (arrays["x_train"], arrays["y_train"]),
        (arrays["x_test"], arrays["y_test"]),
        spec,
        name,
        class_names=source.class_names,
    )


def _find(spec: DataSpec, source: Source) -> Path | None:
    """The file to read; None for embedded data."""
    given = spec.dir
    if given is None and source.file is not None:
        given = os.environ.get("JAXDD_DATA") or None
        if given is None:
            raise InputError(
                f"data set {spec.name!r} is read from a file: give --data.dir, or set "
                f"the environment variable JAXDD_DATA, to {_wanted(source)}"
            )
    if given is None:
        return None
    path = Path(given).expanduser()
    if path.suffix != ".npz":
        if source.file is None:
            return None
        path = path / source.file
    if not path.is_file():
        raise InputError(
            f"data.dir (or JAXDD_DATA): no file {path}; give {_wanted(source)}"
        )
    return path


def _wanted(source: Source) -> str:
    folder = f"the folder that holds {source.file} or " if source.file else ""
    return f"{folder}the path of an .npz file with {' '.join(npz.ARRAYS)}"


def _read(
    source: Source, path: Path | None, name: str, cache: Path | None
) -> dict[str, np.ndarray]:
    """The four arrays, checked, as uint8 and int32."""

    where = () if path is None else (path,)

    def decode() -> dict[str, np.ndarray]:
        arrays = source.read(*where)
        checked = {}
        for split in ("train", "test"):
            image, label = arrays[f"x_{split}"], arrays[f"y_{split}"]
            pair = check_split(image, label, f"{name}: {split}")
            checked.update(zip((f"x_{split}", f"y_{split}"), pair, strict=True))
        return checked

    if cache is None:
        return decode()
    content = source.fingerprint(*where)
    return cached(cache, files.sha256(_FORMAT, source.read.__module__, content), decode)
