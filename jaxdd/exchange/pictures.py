"""Sets as images: class folders and archives, Parquet, prepared TFDS data sets.

RDED and SRe2L publish class folders of JPEGs (`00012/class00012_id00003.jpg`,
`new012/...`). A folder with a `labels.csv`, as `write` makes, says more: soft labels,
weights and the order.
"""

import csv
import re
from pathlib import Path

import numpy as np

from jaxdd.data.readers import folders, parquet
from jaxdd.data.readers.decode import decode_all
from jaxdd.data.source import Progress
from jaxdd.errors import InputError
from jaxdd.exchange.raw import Raw
from jaxdd.records import DataSpec

__all__ = ["LISTING", "read_folder", "read_listed", "read_parquet", "read_tfds"]

LISTING = "labels.csv"
"""Columns: file, label, weight, then one for each entry of a soft label or target."""

_FIXED = ("file", "label", "weight")
_NONE = np.zeros(0)
_SOFT = ("soft_label", "soft_labels", "soft_targets", "target", "logits")


def read_folder(path: Path, spec: DataSpec, progress: Progress) -> Raw:
    """Images in class folders, or an archive of them.

    Raises:
      InputError: as `data.folders.read`.
    """
    if _is_listing(path / LISTING):
        return read_listed(path, spec, progress)
    arrays = folders.read(path, spec, progress)
    return Raw(
        image=arrays["x_train"],
        label=arrays.get("y_train"),
        layout="folder",
        space="none",
        order="nhwc",
        class_names=tuple(map(str, arrays["class_names"])),
        folders=True,
        notes=tuple(map(str, arrays["notes"])),
    )


def read_listed(path: Path, spec: DataSpec, progress: Progress) -> Raw:
    """The images that a `labels.csv` lists, in its order.

    Raises:
      InputError: the list is damaged, or names files that are not there or leave the
        folder.
    """
    names, label, weight, wide = _listing(path / LISTING)
    with progress(f"decode {path.name}", len(names), "image") as advance:
        decoded = decode_all(
            ((name, _file(path, name)) for name in names),
            side=spec.resize,
            mode=spec.resize_mode,
            limit=folders.LARGEST,
            advance=advance,
        )
    if decoded.bad:
        name, reason = decoded.bad[0]
        raise InputError(f"{path}: {name} does not decode: {reason}")
    image = np.stack(folders.alike(decoded.pixels, decoded.names, path))
    target = label if wide is None else wide
    return Raw(
        image=image,
        label=target,
        layout="folder",
        space="none",
        order="nhwc",
        weight=weight,
        class_names=_words(path / "words.txt"),
    )


def read_parquet(path: Path, spec: DataSpec, progress: Progress) -> Raw:
    """The training split of Parquet files.

    Raises:
      InputError: as `data.parquet.read`.
    """
    notes: list[str] = []
    group = parquet.find(path)["train"]
    arrays, about = parquet.read_rows(group, spec, progress, notes)
    wide = next((name for name in _SOFT if name in about.vectors), None)
    wide = wide or (about.vectors[0] if len(about.vectors) == 1 else None)
    name = wide or about.label
    return Raw(
        image=arrays["image"],
        label=None if name is None else arrays[name],
        layout="parquet",
        space="none",
        order="nhwc",
        weight=arrays.get("weight"),
        class_names=about.class_names,
        notes=tuple(notes),
    )


def read_tfds(path: Path, spec: DataSpec, progress: Progress) -> Raw:
    """The training split of a prepared TFDS data set.

    Raises:
      InputError: as `data.tfds.read`.
    """
    from jaxdd.data.readers import tfds

    arrays = tfds.read("folder", path, spec, progress)
    numbers = tfds.read_numbers(path)
    wide = next((name for name in _SOFT if numbers.get(name, _NONE).ndim == 2), None)
    return Raw(
        image=arrays["x_train"],
        label=arrays.get("y_train") if wide is None else numbers[wide],
        layout="tfds",
        space="none",
        order="nhwc",
        weight=numbers.get("weight"),
        class_names=tuple(map(str, arrays.get("class_names", ()))),
        notes=tuple(map(str, arrays["notes"])),
    )


def _is_listing(path: Path) -> bool:
    """Whether this is a list like ours; a folder may hold anybody's labels.csv."""
    if not path.is_file():
        return False
    with path.open("rb") as handle:
        return handle.readline().startswith(",".join(_FIXED).encode())


def _listing(
    path: Path,
) -> tuple[list[str], np.ndarray | None, np.ndarray, np.ndarray | None]:
    """Names, labels, weights and wide targets of a list."""
    try:
        with path.open(newline="", encoding="utf-8") as handle:
            head, *rows = list(csv.reader(handle))
        if tuple(head[:3]) != _FIXED or not rows:
            raise ValueError(f"its columns begin with {head[:3]}")
        odd = next((n for n, row in enumerate(rows) if len(row) != len(head)), None)
        if odd is not None:
            raise ValueError(f"row {odd} has {len(rows[odd])} columns of {len(head)}")
        names = [row[0] for row in rows]
        weight = np.array([row[2] for row in rows], np.float32)
        has_label = any(row[1] for row in rows)
        label = np.array([int(row[1]) for row in rows]) if has_label else None
        wide = [[float(v) for v in row[3:]] for row in rows]
        table = np.array(wide, np.float32)
    except (OSError, ValueError, IndexError, csv.Error, OverflowError) as error:
        raise InputError(
            f"{path} cannot be read ({str(error)[:200]}); wanted are the columns "
            f"{', '.join(_FIXED)}, then numbers"
        ) from error
    return names, label, weight, table if table.size else None


def _file(folder: Path, name: str) -> bytes:
    plain = not name.startswith(("/", "\\")) and ".." not in re.split(r"[/\\]", name)
    place = folder / name
    if not plain or not place.is_file() or ":" in name:
        raise InputError(f"{folder / LISTING} lists {name!r}, which is not there")
    return place.read_bytes()


def _words(path: Path) -> tuple[str, ...]:
    """The class names beside the names of their folders, in order."""
    if not path.is_file():
        return ()
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return tuple(line.partition("\t")[2] for line in sorted(lines) if "\t" in line)
