"""Writes experts' trajectories so that a killed run loses little and breaks nothing.

Snapshots are written in place into a file of the final size; an expert counts once the
manifest, replaced as a whole, lists it. States beside it let experts go on.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from jaxdd import files
from jaxdd.errors import InputError
from jaxdd.prepare.expert_store import (
    MANIFEST,
    SNAPSHOTS,
    ExpertStore,
    Finished,
    Manifest,
    read_manifest,
    write_manifest,
)

__all__ = ["Begun", "Recorder"]


class Begun(NamedTuple):
    """Where unfinished experts go on: their states after so many epochs, stacked."""

    epoch: int
    leaves: list[np.ndarray]


class Recorder:
    """A folder of trajectories while it is being filled.

    Args:
      folder: new, or of an earlier run of the same settings.
      shape: experts, epochs + 1, parameters.
      about: what they are of (`expert_store.described`).

    Raises:
      InputError: the folder cannot be written or lacks space, or it is damaged.
    """

    def __init__(
        self, folder: Path, shape: tuple[int, int, int], about: dict[str, Any]
    ) -> None:
        self.folder = Path(folder)
        self._manifest = Manifest(shape, about, {})
        if (self.folder / MANIFEST).exists():
            self._manifest = self._found()
        else:
            self._create()

    @property
    def missing(self) -> list[int]:
        """The experts that are not finished."""
        return [n for n in range(self.shape[0]) if n not in self._manifest.finished]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Experts, epochs + 1, parameters."""
        return self._manifest.shape

    def write(self, expert: int, epoch: int, snapshots: np.ndarray) -> None:
        """Keeps snapshots [n, parameters] from an epoch on.

        Raises:
          InputError: the system refused; what is finished stays.
        """
        _, length, parameters = self.shape
        rows = np.ascontiguousarray(snapshots, np.float32)
        with self._open("r+b") as handle:
            handle.seek(4 * parameters * (expert * length + epoch))
            _write(handle, rows)
            os.fsync(handle.fileno())

    def keep(
        self, experts: Sequence[int], epoch: int, leaves: Sequence[np.ndarray]
    ) -> None:
        """The states after an epoch, from which experts that train together go on.

        One file for all of them, so that none is ever ahead of the others.
        """
        arrays = {f"leaf{i}": leaf for i, leaf in enumerate(leaves)}
        about = {"experts": np.asarray(experts), "epoch": np.int64(epoch)}
        files.write_npz(self._state(experts), **about, **arrays)

    def begun(self, experts: Sequence[int]) -> Begun | None:
        """Where the same experts go on, or None where they start."""
        try:
            arrays = files.read_npz(self._state(experts))
        except InputError:  # missing or damaged: then they start anew
            return None
        if not np.array_equal(arrays.pop("experts", ()), experts):
            return None
        leaves = [arrays[f"leaf{i}"] for i in range(len(arrays) - 1)]
        return Begun(int(arrays["epoch"]), leaves)

    def finish(self, losses: dict[int, float | None]) -> None:
        """Marks experts, all of whose snapshots are written, as finished."""
        for expert, loss in losses.items():
            self._manifest.finished[expert] = Finished(loss, self._checks(expert))
        write_manifest(self.folder, self._manifest)
        with contextlib.suppress(OSError):
            self._state(list(losses)).unlink(missing_ok=True)
            for left in self.folder.glob("state-*.npz") if not self.missing else ():
                left.unlink(missing_ok=True)  # of groups of another size

    def store(self) -> ExpertStore:
        """The finished trajectories."""
        return ExpertStore(self.folder)

    def _found(self) -> Manifest:
        """An earlier run's manifest; a store that is whole may be read only."""
        found = read_manifest(self.folder)
        if found.shape != self._manifest.shape:
            raise InputError(
                f"{self.folder} holds {found.shape} (experts, snapshots, parameters), "
                f"not {self._manifest.shape}; delete it"
            )
        size = (self.folder / SNAPSHOTS).stat().st_size if not found.whole else -1
        if not found.whole and size != found.size:
            raise InputError(
                f"{self.folder / SNAPSHOTS} has {size:,} bytes and needs "
                f"{found.size:,}: it is truncated; delete the folder"
            )
        return found

    def _create(self) -> None:
        """Snapshots first: the manifest makes it a store."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._check_space()
        except OSError as error:
            raise self._refused(error) from error
        with self._open("wb") as handle:
            handle.truncate(self._manifest.size)
        write_manifest(self.folder, self._manifest)

    def _check_space(self) -> None:
        free, needed = shutil.disk_usage(self.folder).free, self._manifest.size
        if free < needed:
            raise InputError(
                f"{self.folder}: the trajectories of {self.shape[0]} experts take "
                f"{needed:,} bytes and {free:,} are free. Free space, choose another "
                "folder with --run.cache, or ask for fewer experts or epochs"
            )

    def _checks(self, expert: int) -> list[int]:
        """Checksums of what lies on the disk."""
        array = np.memmap(self.folder / SNAPSHOTS, np.float32, "r", shape=self.shape)
        return [zlib.crc32(row) for row in array[expert]]

    @contextlib.contextmanager
    def _open(self, mode: str) -> Iterator[IO[Any]]:
        try:
            with (self.folder / SNAPSHOTS).open(mode) as handle:
                yield handle
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> InputError:
        return InputError(
            f"cannot write {self.folder / SNAPSHOTS}: {error.strerror or error}. The "
            "experts recorded so far are kept: free some space, or make the folder "
            "writable, and run the same again"
        )

    def _state(self, experts: Sequence[int]) -> Path:
        return self.folder / f"state-{experts[0]}-{experts[-1]}.npz"


def _write(handle: IO[Any], rows: np.ndarray) -> None:
    handle.write(rows.data)
    handle.flush()
