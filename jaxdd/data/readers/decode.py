"""Decodes many images at once, in as many processes as there are cores."""

import contextlib
import json
import os
import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxdd.data.readers import decode_worker
from jaxdd.errors import InputError

__all__ = ["Decoded", "decode_all"]

_BATCH_BYTES = 1 << 20  # of encoded images in one message
_BATCH = 256
_AHEAD = 3  # batches a worker may have waiting


class Decoded(NamedTuple):
    """Images in the order of their arrival; `bad` are the ones that did not decode.

    `pixels` are uint8 [h,w,c] with c 1 or 3.
    """

    names: list[str]
    pixels: list[np.ndarray]
    bad: list[tuple[str, str]]


def decode_all(
    images: Iterable[tuple[str, bytes]],
    *,
    side: int | None = None,
    mode: str = "crop",
    limit: int | None = None,
    workers: int | None = None,
    advance: Callable[[int], object] = lambda count: None,
) -> Decoded:
    """Decodes encoded images; the iterable is read while the workers work.

    Args:
      images: pairs of name and encoded bytes.
      side: make each a square of this many pixels; None keeps their sizes.
      mode: crop or stretch (`DataSpec.resize_mode`).
      limit: bytes that all pixels together may take.
      workers: processes; default one a core.
      advance: told how many more images are done.

    Raises:
      InputError: a worker died, or the limit is passed.
    """
    count = workers or os.cpu_count() or 1
    made: dict[int, list[Any]] = {}
    with contextlib.ExitStack() as stack:
        team = [stack.enter_context(_worker(side, mode, made)) for _ in range(count)]
        total = 0
        for number, batch in enumerate(_batches(images)):
            total += len(batch)
            _check_size(sum(w.size for w in team), limit)
            team[number % count].give(number, batch)
            advance(len(batch))
    names, pixels, bad = [], [], []
    for number in sorted(made):
        for name, result in made[number]:
            if isinstance(result, str):
                bad.append((name, result))
            else:
                names.append(name)
                pixels.append(result)
    if len(names) + len(bad) != total:
        raise InputError(
            "a process that decodes images died (out of memory?); the same command "
            "starts again"
        )
    return Decoded(names, pixels, bad)


def _check_size(size: int, limit: int | None) -> None:
    if limit is not None and size > limit:
        raise InputError(
            f"the decoded images take more than {limit:,} bytes; make them smaller with"
            " --data.resize SIDE, such as 32 or 64"
        )


def _batches(
    images: Iterable[tuple[str, bytes]],
) -> Iterator[list[tuple[str, bytes]]]:
    batch: list[tuple[str, bytes]] = []
    size = 0
    for name, data in images:
        batch.append((name, data))
        size += len(data)
        if size >= _BATCH_BYTES or len(batch) == _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class _Worker:
    """A process, a thread that feeds it, and one that reads what it answers.

    `size` counts the bytes of the pixels so far.
    """

    def __init__(self, process: subprocess.Popen, made: dict[int, list[Any]]) -> None:
        self._process, self._made, self.size = process, made, 0
        self._todo: queue.Queue = queue.Queue(_AHEAD)
        self._sent: queue.Queue = queue.Queue()
        self._threads = [
            threading.Thread(target=task, daemon=True)
            for task in (self._write, self._read)
        ]
        for thread in self._threads:
            thread.start()

    def give(self, number: int, batch: list[tuple[str, bytes]]) -> None:
        """Waits until the worker has room for it."""
        self._todo.put((number, batch))

    def close(self) -> None:
        """Waits for all answers."""
        self._todo.put(None)
        for thread in self._threads:
            thread.join()
        self._process.wait()

    def stop(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self.close()

    def _write(self) -> None:
        stream, alive = self._process.stdin, True
        assert stream is not None
        while (item := self._todo.get()) is not None:
            number, batch = item
            data = [data for _, data in batch]
            head = struct.pack(f"<I{len(data)}Q", len(data), *map(len, data))
            if alive:
                self._sent.put((number, [name for name, _ in batch]))
                try:
                    stream.write(b"".join([head, *data]))
                    stream.flush()
                except OSError:  # it died; go on taking, so that nobody waits
                    alive = False
        self._sent.put(None)
        with contextlib.suppress(OSError):
            stream.close()

    def _read(self) -> None:
        stream = self._process.stdout
        assert stream is not None
        while (item := self._sent.get()) is not None:
            number, names = item
            with contextlib.suppress(EOFError):
                heads = json.loads(
                    _exactly(stream, struct.unpack("<I", _exactly(stream, 4))[0])
                )
                results = _split(stream, heads)
                self.size += sum(getattr(r, "nbytes", 0) for r in results)
                self._made[number] = list(zip(names, results, strict=True))
        stream.close()


def _split(stream: Any, heads: list[Any]) -> list[Any]:
    """The pixels of a batch as views of one block; messages stay as they are."""
    sizes = [0 if isinstance(head, str) else int(np.prod(head)) for head in heads]
    block = np.frombuffer(_exactly(stream, sum(sizes)), np.uint8)
    ends = np.cumsum(sizes)
    return [
        head if isinstance(head, str) else block[end - size : end].reshape(head)
        for head, size, end in zip(heads, sizes, ends, strict=True)
    ]


def _exactly(stream: Any, count: int) -> bytes:
    data = stream.read(count)
    if len(data) != count:
        raise EOFError
    return data


@contextlib.contextmanager
def _worker(
    side: int | None, mode: str, made: dict[int, list[Any]]
) -> Iterator[_Worker]:
    script = decode_worker.__file__
    process = subprocess.Popen(
        # -P: the folder of the script holds our modules, not the libraries it needs.
        [sys.executable, "-P", str(script), json.dumps([side, mode])],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    worker = _Worker(process, made)
    try:
        yield worker
    except BaseException:
        worker.stop()
        raise
    worker.close()
