"""Reads the stream of a stage a chunk ahead, while the device works."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from jaxdd.base import PyTree, Stream

__all__ = ["StreamReader"]


class StreamReader:
    """Rows of consecutive chunks, the next one being read while one is used.

    Args:
      stream: reads the rows of some steps.
      length: rows of every chunk; a shorter one is filled up with its last row.
    """

    def __init__(self, stream: Stream, length: int) -> None:
        self._stream = stream
        self._length = length
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="stream")
        self._next: tuple[tuple[int, int], Future[PyTree]] | None = None

    def __enter__(self) -> StreamReader:
        return self

    def __exit__(self, *failure: object) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def rows(self, steps: tuple[int, int]) -> PyTree:
        """The rows of steps [first, end), every leaf [length,...]."""
        if self._next is not None and self._next[0] == steps:
            return self._next[1].result()
        return self._read(steps)

    def prefetch(self, steps: tuple[int, int]) -> None:
        """Begins to read what the next call of `rows` will ask for."""
        if steps[0] < steps[1]:
            self._next = steps, self._threads.submit(self._read, steps)

    def _read(self, steps: tuple[int, int]) -> PyTree:
        missing = self._length - (steps[1] - steps[0])

        def filled(leaf: Any) -> np.ndarray:
            leaf = np.asarray(leaf)
            return np.concatenate([leaf, *[leaf[-1:]] * missing]) if missing else leaf

        return jax.tree.map(filled, self._stream(*steps))
