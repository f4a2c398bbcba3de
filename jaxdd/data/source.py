"""What a reader of data is: the contract between files and `jaxdd.data.load`."""

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdd.records import DataSpec

__all__ = ["Arrays", "Form", "Progress", "Remote", "Source", "silent"]

Arrays = dict[str, np.ndarray]
"""What a reader returns: x_train uint8 [n,h,w] or [n,h,w,c], y_train int [n], x_test,
y_test; no y where there are no labels. Optional: class_names [k] and notes, lines the
user must see, both arrays of strings."""

Progress = Callable[[str, int, str], AbstractContextManager[Callable[[int], object]]]
"""(what is done, total, unit) -> a context that yields `advance(count)`; a total of 0
is not known. Who shows it is not the reader's business."""


class Form(NamedTuple):
    """One form in which a data set's files may lie.

    Attributes:
      pattern: glob of a file or folder inside the data folder.
      read: (path, spec, progress) -> arrays. Raises InputError on anything wrong.
      resized: whether `read` itself heeds the resize settings (image files); the
        others are resized afterwards.
      beside: globs of the further files in the same folder that `read` may open; the
        fingerprint covers them too.
      splits: whether `read` may hold out a share as the test split (all that are
        `resized` may).
    """

    pattern: str
    read: Callable[[Path, DataSpec, Progress], Arrays]
    resized: bool = False
    beside: tuple[str, ...] = ()
    splits: bool = False


class Remote(NamedTuple):
    """One file that a data set's owners publish.

    Attributes:
      name: of the file, as a form's pattern expects it.
      urls: where it lies, the owners' address first, mirrors after it.
      checksum: `md5:...` or `sha256:...`, as published.
      size: bytes, or 0 where it is not published.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str
    size: int = 0


class Source(NamedTuple):
    """A data set: the forms its files may have, best first, and where they come from.

    Attributes:
      forms: tried in order.
      class_names: where the files do not name the classes.
      remotes: all of them together make up one of the forms; empty where the owners
        publish nothing that may be fetched.
      home: the page where a person finds the data.
    """

    forms: tuple[Form, ...]
    class_names: tuple[str, ...] = ()
    remotes: tuple[Remote, ...] = ()
    home: str = ""


@contextlib.contextmanager
def silent(what: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
    """Progress that nobody sees."""
    del what, total, unit
    yield lambda count: None
