"""What steps consume from the host: read a chunk ahead, while the device works."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from jaxdd.base import PyTree

__all__ = ["Ahead", "Outside"]

Outside = Callable[[int, int], PyTree]
"""(first, end) -> what those steps consume, every leaf [end-first,...]; pure."""


class Ahead:
    """Rows of consecutive chunks, the next one being read while one is used.

    Args:
      outside: reads the rows of some steps.
      length: rows of every chunk; a shorter one is filled up with its last row.
    """

    def __init__(self, outside: Outside, length: int) -> None:
        self._outside = outside
        self._length = length
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._coming: tuple[tuple[int, int], Future[PyTree]] | None = None

    def __enter__(self) -> Ahead:
        return self

    def __exit__(self, *failure: object) -> None:
        self._reader.shutdown(wait=True, cancel_futures=True)

    def rows(self, steps: tuple[int, int]) -> PyTree:
        """The rows of steps [first, end), every leaf [length,...]."""
        if self._coming is not None and self._coming[0] == steps:
            return self._coming[1].result()
        return self._read(steps)

    def fetch(self, steps: tuple[int, int]) -> None:
        """Begins to read what the next call of `rows` will ask for."""
        if steps[0] < steps[1]:
            self._coming = steps, self._reader.submit(self._read, steps)

    def _read(self, steps: tuple[int, int]) -> PyTree:
        missing = self._length - (steps[1] - steps[0])

        def filled(leaf: Any) -> np.ndarray:
            leaf = np.asarray(leaf)
            return np.concatenate([leaf, *[leaf[-1:]] * missing]) if missing else leaf

        return jax.tree.map(filled, self._outside(*steps))
