"""Experts' trajectories on disk, read piece by piece.

A folder with `snapshots.f32`, float32 [expert, epoch, parameter], and `manifest.json`:
what they are of, and for each expert that is finished a checksum of every snapshot.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdd import files
from jaxdd.base import Corpus
from jaxdd.errors import InputError
from jaxdd.records import Experts, NetworkSpec, from_dict, to_dict

__all__ = [
    "MANIFEST",
    "SNAPSHOTS",
    "ExpertStore",
    "Finished",
    "Manifest",
    "check_fits",
    "described",
    "read_manifest",
    "write_manifest",
]

MANIFEST, SNAPSHOTS = "manifest.json", "snapshots.f32"
_FORMAT = 1
_REMEDY = "delete the folder, and they are recorded again"


class Finished(NamedTuple):
    """What is known of an expert whose trajectory is whole."""

    loss: float | None  # mean of its last steps; None where it was imported
    checks: list[int]  # CRC-32 of each snapshot


class Manifest(NamedTuple):
    """What a folder of trajectories says about itself."""

    shape: tuple[int, int, int]  # experts, epochs + 1, parameters
    about: dict[str, Any]
    finished: dict[int, Finished]

    @property
    def size(self) -> int:
        """Bytes of all snapshots."""
        return 4 * self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def whole(self) -> bool:
        """Whether all experts are finished."""
        return len(self.finished) == self.shape[0]


class ExpertStore:
    """Recorded trajectories; snapshot 0 holds the initial parameters.

    Parameters are flat, `jax.flatten_util.ravel_pytree` of the network's. What is read
    is compared with its checksum.

    Attributes:
      folder: where they lie.
      manifest: what they are of.
      num_experts: how many there are.
      num_epochs: of each; there is one snapshot more.

    Args:
      folder: as recorded by `jaxdd.prepare`.
      count: how many experts of it are used, the first ones; default: all.
      epochs: how many epochs of each; default: all.

    Raises:
      InputError: it holds no such trajectories, or fewer, or they are truncated or
        unfinished.
    """

    def __init__(
        self, folder: Path, count: int | None = None, epochs: int | None = None
    ) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        stored, length, _ = self.manifest.shape
        self.num_experts = self._least("count", count, stored)
        self.num_epochs = self._least("epochs", epochs, length - 1)
        if not self.manifest.whole:
            done, total = len(self.manifest.finished), stored
            raise InputError(
                f"{self.folder}: {done} of {total} experts are recorded; the run that "
                "began it goes on where it stopped"
            )
        path = self.folder / SNAPSHOTS
        has = path.stat().st_size if path.exists() else 0
        if has != self.manifest.size:
            raise InputError(
                f"{path} has {has:,} bytes and needs {self.manifest.size:,} for "
                f"{stored} experts: it is truncated or damaged; {_REMEDY}"
            )
        self._array = np.memmap(path, np.float32, "r", shape=self.manifest.shape)

    def _least(self, name: str, asked: int | None, stored: int) -> int:
        if asked is not None and asked > stored:
            raise InputError(
                f"experts.{name}={asked}: {self.folder} holds {stored}; set it to at "
                f"most {stored}"
            )
        return stored if asked is None else asked

    @property
    def num_parameters(self) -> int:
        """Length of a snapshot."""
        return self.manifest.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes of all snapshots that are used."""
        return 4 * self.num_experts * (self.num_epochs + 1) * self.num_parameters

    def last(self) -> np.ndarray:
        """The final snapshot of every expert, float32 [experts, parameters]."""
        every = np.arange(self.num_experts)
        return self.read(every, np.full(len(every), self.num_epochs), (0,))[:, 0]

    def everything(self) -> np.ndarray:
        """All snapshots, float32 [experts, epochs + 1, parameters]."""
        every = np.arange(self.num_experts)
        return self.read(every, np.zeros(len(every), int), range(self.num_epochs + 1))

    def read(
        self,
        expert: np.ndarray | Sequence[int] | int,
        start: np.ndarray | Sequence[int] | int,
        offsets: Sequence[int] = (0,),
    ) -> np.ndarray:
        """Snapshots of pieces of trajectories; memory of what is returned.

        Args:
          expert: int [...].
          start: int [...], the epochs at which the pieces start.
          offsets: epochs from there.

        Returns:
          float32 [..., offsets, parameters].

        Raises:
          InputError: there is no such expert or epoch, or a snapshot is damaged.
        """
        expert, start = np.broadcast_arrays(np.asarray(expert), np.asarray(start))
        epoch = start[..., None] + np.asarray(offsets, int)
        self._check(expert, "expert", self.num_experts)
        self._check(epoch, "epoch", self.num_epochs + 1)
        found = np.empty((*epoch.shape, self.num_parameters), np.float32)
        for place in np.ndindex(epoch.shape):
            found[place] = self._snapshot(int(expert[place[:-1]]), int(epoch[place]))
        return found

    def _check(self, asked: np.ndarray, what: str, count: int) -> None:
        wrong = asked[(asked < 0) | (asked >= count)]
        if wrong.size:
            raise InputError(
                f"{self.folder} has no {what} {wrong.flat[0]}; it holds {what}s 0 to "
                f"{count - 1}"
            )

    def _snapshot(self, expert: int, epoch: int) -> np.ndarray:
        row = self._array[expert, epoch]
        if zlib.crc32(row) != self.manifest.finished[expert].checks[epoch]:
            raise InputError(
                f"{self.folder / SNAPSHOTS}: the snapshot of expert {expert} at epoch "
                f"{epoch} is not what was recorded; {_REMEDY}"
            )
        return row


def read_manifest(folder: Path) -> Manifest:
    """What a folder of trajectories says about itself.

    Raises:
      InputError: there is none, it is damaged or of a later version.
    """
    path = Path(folder) / MANIFEST
    stored = files.read_json(path)
    try:
        if stored["format"] != _FORMAT:
            raise InputError(f"{path}: format {stored['format']} is not known here")
        shape = tuple(map(int, stored["shape"]))
        finished = {int(n): Finished(**one) for n, one in stored["finished"].items()}
        whole = all(len(one.checks) == shape[1] for one in finished.values())
        if len(shape) != 3 or not whole or not set(finished) <= set(range(shape[0])):
            raise ValueError("its parts do not fit each other")
        return Manifest(shape, dict(stored["about"]), finished)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{path} is damaged ({type(error).__name__}: {error}); {_REMEDY}"
        ) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes it, whole or not at all."""
    finished = {str(n): one._asdict() for n, one in manifest.finished.items()}
    content = {
        "format": _FORMAT,
        "shape": list(manifest.shape),
        "about": manifest.about,
        "finished": finished,
    }
    files.write_json(Path(folder) / MANIFEST, content)


def described(experts: Experts, corpus: Corpus) -> dict[str, Any]:
    """What trajectories are of, for their manifest."""
    return {
        "experts": to_dict(experts),
        "dataset": corpus.name,
        "data_hash": corpus.hash,
        "whitening": corpus.whitening.kind,
        "image_shape": list(corpus.image_shape),
        "num_classes": corpus.num_classes,
    }


def check_fits(store: ExpertStore, experts: Experts, corpus: Corpus) -> None:
    """Refuses trajectories of another network or of other data, naming both.

    Raises:
      InputError: what differs.
    """
    about, wanted = store.manifest.about, described(experts, corpus)
    if about.get("data_hash") != corpus.hash:
        raise InputError(
            f"{store.folder}: these experts were trained on other data: "
            f"{about.get('dataset')!r} with hash {str(about.get('data_hash'))[:12]}, "
            f"while {corpus.name!r} here has {corpus.hash[:12]}. Use the same data and "
            "options (resize, train_limit ...), or record experts for these"
        )
    for name in ("whitening", "image_shape", "num_classes"):
        if about.get(name) != wanted[name]:
            raise InputError(
                f"{store.folder}: these experts were trained with {name} "
                f"{about.get(name)}, here it is {wanted[name]}"
            )
    _check_network(store.folder, about["experts"]["network"], experts.network)


def _check_network(folder: Path, stored: dict[str, Any], wanted: NetworkSpec) -> None:
    """Only what decides the network's function; not how it starts or is computed."""
    theirs = to_dict(from_dict(NetworkSpec, stored))
    ours = to_dict(wanted)
    for name in ours:  # the architecture's name first
        if name in ("conv", "initialiser", "zero_last", "dropout"):
            continue
        if theirs[name] != ours[name]:
            raise InputError(
                f"{folder}: these are experts of another network: its {name} is "
                f"{theirs[name]}, here network.{name} is {ours[name]}"
            )
