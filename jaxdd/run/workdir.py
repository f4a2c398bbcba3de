"""The folder of a run: whose it is, what lies where, what is finished.

config.json, metrics.jsonl, checkpoints/, set/ (or set-seed<n>/), evaluation.json,
figures/, report.html and, when everything is done, report.json.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from jaxdd import files
from jaxdd.base import Dataset, InputError
from jaxdd.run.config import (
    JudgeConfig,
    RunConfig,
    differences,
    identity,
    run_hash,
)

__all__ = ["JsonStore", "claim", "set_folder", "sets_in"]

_CONFIG = "config.json"


def claim(
    folder: Path,
    config: RunConfig | JudgeConfig,
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
    if folder.exists() and not folder.is_dir():
        raise InputError(f"workdir={str(folder)!r} is a file; give a folder")
    known = (folder / _CONFIG).exists()
    if config.overwrite and known:
        _clear(folder)
        known = False
    if known:
        _check(folder, mine)
        return
    if folder.is_dir() and any(p.name[0] != "." for p in folder.iterdir()):
        raise InputError(
            f"workdir={str(folder)!r} holds files but no {_CONFIG}, so it is no work"
            " directory; give an empty or a new folder"
        )
    content = {"hash": run_hash(config), "settings": mine}
    files.write_json(folder / _CONFIG, content)


def _content(dataset: Dataset) -> str:
    return " ".join(split.hash[:16] for split in dataset if split is not None)


def _check(folder: Path, mine: dict[str, Any]) -> None:
    there = files.read_json(folder / _CONFIG)
    settings = there.get("settings", {}) if isinstance(there, dict) else {}
    lines = differences(settings, mine)
    if lines:
        raise InputError(
            f"workdir={str(folder)!r} was written with another configuration:\n  "
            + "\n  ".join(lines)
            + "\nGive another --workdir, or --overwrite to begin anew"
        )


def _clear(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise InputError(
            f"workdir={str(folder)!r} cannot be removed: {error.strerror}; remove it"
            " yourself or give another"
        ) from error


def set_folder(folder: Path, config: RunConfig, seed: int) -> Path:
    """Where the set of a seed is saved."""
    return folder / ("set" if config.seeds == 1 else f"set-seed{seed}")


def sets_in(folder: Path) -> list[Path]:
    """The saved sets in a folder: itself, or those of a work directory.

    Raises:
      InputError: there is none.
    """
    if (folder / "meta.json").exists():
        return [folder]
    found = [p.parent for p in folder.glob("set*/meta.json")]
    if not found:
        raise InputError(
            f"{str(folder)!r} holds no distilled set; give a folder that jaxdd.save or"
            " a finished run has written"
        )
    return sorted(found, key=lambda path: (len(path.name), path.name))


class JsonStore(MutableMapping[str, dict]):
    """A mapping that is on disk after every change; one JSON file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._content: dict[str, dict] = files.read_json(path) if path.exists() else {}

    def __getitem__(self, name: str) -> dict:
        return self._content[name]

    def __setitem__(self, name: str, value: dict) -> None:
        self._content[name] = value
        files.write_json(self._path, self._content)

    def __delitem__(self, name: str) -> None:
        del self._content[name]
        files.write_json(self._path, self._content)

    def __iter__(self) -> Iterator[str]:
        return iter(self._content)

    def __len__(self) -> int:
        return len(self._content)
