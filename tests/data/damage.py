"""What the readers' tests share: random damage, and a progress that remembers."""

import contextlib
import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from jaxdd.errors import InputError


@dataclasses.dataclass(frozen=True)
class Damage:
    """One change of a file's bytes; `pick` chooses the file among several."""

    kind: str
    place: float
    value: int
    length: int
    pick: int

    def __call__(self, content: bytes) -> bytes:
        """The damaged content; empty content stays as it is."""
        at = min(int(self.place * len(content)), max(len(content) - 1, 0))
        if self.kind == "truncate":
            return content[:at]
        if self.kind == "insert":
            return content[:at] + bytes([self.value]) * self.length + content[at:]
        if self.kind == "remove":
            return content[:at] + content[at + self.length :]
        changed = bytearray(content)
        changed[at] ^= self.value
        return bytes(changed)


def damages() -> st.SearchStrategy[Damage]:
    """Truncation, flipped bits, inserted and removed bytes; headers are hit often."""
    start = st.floats(0, 0.05)
    return st.builds(
        Damage,
        kind=st.sampled_from(["truncate", "flip", "insert", "remove"]),
        place=st.one_of(start, st.floats(0, 1)),
        value=st.integers(1, 255),
        length=st.integers(1, 40),
        pick=st.integers(0, 100),
    )


def read_or_refused(
    read: Callable[[], dict[str, np.ndarray]], where: Path | str, classes: int
) -> None:
    """Checks that a reader gives valid arrays, or an InputError that names `where`."""
    try:
        arrays = read()
    except InputError as error:
        message = str(error)
    else:
        message = ""
        for split in ("train", "test"):
            image, label = arrays[f"x_{split}"], arrays[f"y_{split}"]
            assert image.dtype == np.uint8
            assert image.ndim in (3, 4)
            assert np.issubdtype(label.dtype, np.integer)
            assert label.shape == (len(image),)
            assert 0 <= label.min() <= label.max() < classes
    assert not message or str(where) in message


def recorder():
    """A progress, and the list of (what, total, unit, advanced) that it fills."""
    seen = []

    @contextlib.contextmanager
    def progress(what, total, unit):
        done = [0]

        def advance(count):
            done[0] += count

        yield advance
        seen.append((what, total, unit, done[0]))

    return progress, seen
