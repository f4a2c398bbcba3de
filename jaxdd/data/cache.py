"""Keeps decoded arrays on disk under the hash of what they were decoded from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from jaxdd import files
from jaxdd.errors import InputError

__all__ = ["cached"]

Arrays = dict[str, np.ndarray]


def cached(folder: Path | None, key: str, decode: Callable[[], Arrays]) -> Arrays:
    """The decoded arrays, from `folder` if they are there and whole.

    An entry that is damaged, or whose content is not what was written, is decoded and
    written again.

    Args:
      folder: where entries are kept; None decodes every time.
      key: hash of the source's content and of the way it is decoded.
      decode: makes the arrays.

    Raises:
      InputError: the entry cannot be written.
    """
    if folder is None:
        return decode()
    path = Path(folder) / f"{key}.npz"
    try:
        arrays = files.read_npz(path)
        if str(arrays.pop("digest", "")) == _digest(arrays):
            return arrays
    except InputError:
        pass  # missing or damaged: the source still has it
    arrays = decode()
    files.write_npz(path, **arrays, digest=np.asarray(_digest(arrays)))
    return arrays


def _digest(arrays: Arrays) -> str:
    named = ((name, arrays[name]) for name in sorted(arrays))
    return files.sha256(*(part for pair in named for part in pair))
