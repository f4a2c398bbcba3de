"""The folder of a run: whose it is, what lies where, what is finished.

config.json, metrics.jsonl, checkpoints/, set/ (or set-seed<n>/), evaluation.json,
figures/, report.html and, when everything is done, report.json; hosts/ where the run
has several processes.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from jaxdd import files
from jaxdd.base import Dataset
from jaxdd.devices import agreement
from jaxdd.errors import InputError
from jaxdd.run.config import (
    Options,
    differences,
    identity,
    run_hash,
)

__all__ = ["HOSTS", "JsonStore", "claim", "is_unclaimed", "set_folder", "sets_in"]

_CONFIG = "config.json"
HOSTS = "hosts"
"""Folder in which the processes of a run show that they live."""


def claim(
    folder: Path,
    config: Options,
    dataset: Dataset,
    **content: str,
) -> None:
    """Makes the folder the run's own, or checks that it is.

    Args:
      folder: the work directory.
      config: of the run; with `overwrite` what is in the folder is removed first.
      dataset: its data, whose content belongs to the run's identity.
      **content: identifies other inputs, such as a set that is judged.

    Raises:
      InputError: the folder belongs to another configuration (the settings that
        differ are named), holds something else, or cannot be written.
    """
    mine = identity(config) | {"data.content": _content(dataset)} | content
    agreement.same("the settings and the data", repr(mine))

    def take() -> None:
        if not agreement.is_first() and not (folder / _CONFIG).exists():
            raise InputError(
                f"workdir={str(folder)!r}: this process does not see what process 0"
                " has written there; give a folder that all hosts share"
            )
        if agreement.is_first() and config.overwrite and not is_unclaimed(folder):
            _clear(folder)
        if is_unclaimed(folder):
            content = {"hash": run_hash(config), "settings": mine}
            files.write_json(folder / _CONFIG, content)
        _check(folder, mine)

    agreement.in_turn(take)


def is_unclaimed(folder: Path) -> bool:
    """Whether a folder may become a work directory: it is empty, or not there.

    Raises:
      InputError: it is a file, or holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise InputError(f"workdir={str(folder)!r} is a file; give a folder")
    if (folder / _CONFIG).exists():
        return False
    if any(not _is_foreign(path) for path in _entries(folder)):
        raise InputError(
            f"workdir={str(folder)!r} holds files but no {_CONFIG}, so it is no work"
            " directory; give an empty or a new folder"
        )
    return True


def _content(dataset: Dataset) -> str:
    return " ".join(split.hash[:16] for split in dataset if split is not None)


def _check(folder: Path, mine: dict[str, Any]) -> None:
    written = files.read_json(folder / _CONFIG)
    settings = written.get("settings", {}) if isinstance(written, dict) else {}
    lines = differences(settings, mine)
    if lines:
        raise InputError(
            f"workdir={str(folder)!r} was written with another configuration:\n  "
            + "\n  ".join(lines)
            + "\nGive another --workdir, or --overwrite to begin anew"
        )


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _is_foreign(path: Path) -> bool:
    """Whether something in a work directory is no part of the run itself."""
    return path.name[0] == "." or path.name == HOSTS


def _clear(folder: Path) -> None:
    try:
        for path in _entries(folder):
            if path.name == HOSTS:  # the processes of this very run
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    except OSError as error:
        raise InputError(
            f"workdir={str(folder)!r} cannot be removed: {error.strerror}; remove it"
            " yourself or give another"
        ) from error


def set_folder(folder: Path, config: Options, seed: int) -> Path:
    """Where the set of a seed is saved."""
    return folder / ("set" if config.seeds == 1 else f"set-seed{seed}")


def sets_in(folder: Path) -> list[Path]:
    """The saved sets in a folder: itself, or those of a work directory.

    Raises:
      InputError: there is none.
    """
    if (folder / "meta.json").exists():
        return [folder]
    places = [p.parent for p in folder.glob("set*/meta.json")]
    if not places:
        raise InputError(
            f"{str(folder)!r} holds no distilled set; give a folder that jaxdd.save or"
            " a finished run has written"
        )
    return sorted(places, key=lambda path: (len(path.name), path.name))


class JsonStore(MutableMapping[str, dict]):
    """A mapping that is on disk after every change; one JSON file of process 0."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content: dict[str, dict] = files.read_json(path) if path.exists() else {}

    def __getitem__(self, name: str) -> dict:
        return self._content[name]

    def __setitem__(self, name: str, value: dict) -> None:
        self._content[name] = value
        self._write()

    def __delitem__(self, name: str) -> None:
        del self._content[name]
        self._write()

    def _write(self) -> None:
        if agreement.is_first():
            files.write_json(self._path, self._content)

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)
