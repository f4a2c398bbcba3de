"""An image folder: a folder of PNG files for each class, and lists beside them."""

import csv
import io
import re
from pathlib import Path

import numpy as np

from jaxdd import files
from jaxdd.exchange.pictures import LISTING
from jaxdd.exchange.table import Table

__all__ = ["write"]


def write(folder: Path, table: Table) -> None:
    """Writes pictures, `labels.csv` and, where there are classes, `words.txt`.

    Folders are named by the number and the name of their class, so that their order is
    that of the classes.
    """
    places = _folders(table)
    names = [f"{place}/{row:06d}.png" for row, place in enumerate(places)]
    for place in sorted(set(places)):
        (folder / place).mkdir()
    for name, data in zip(names, table.png, strict=True):
        (folder / name).write_bytes(data)
    _write_text(folder / LISTING, _listing(table, names))
    if table.label is not None:
        lines = [
            f"{_class_folder(c, name)}\t{_one_line(name)}\n"
            for c, name in enumerate(table.class_names)
        ]
        _write_text(folder / "words.txt", "".join(lines))


def _folders(table: Table) -> list[str]:
    if table.label is None:
        return ["images"] * len(table.png)
    return [_class_folder(c, table.class_names[c]) for c in table.label]


def _class_folder(number: int, name: str) -> str:
    """A name that every file system takes."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-.")[:40]
    return f"{number:05d}" + (f"_{plain}" if plain not in ("", str(number)) else "")


def _one_line(name: str) -> str:
    return re.sub(r"[\t\r\n]+", " ", name)


def _listing(table: Table, names: list[str]) -> str:
    """The list; nine digits give every float32 back."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    wide = np.zeros((len(names), 0)) if table.wide is None else table.wide
    columns = [f"{table.wide_name}_{c}" for c in range(wide.shape[1])]
    writer.writerow(["file", "label", "weight", *columns])
    for row, name in enumerate(names):
        label = "" if table.label is None else int(table.label[row])
        numbers = (f"{value:.9g}" for value in (table.weight[row], *wide[row]))
        writer.writerow([name, label, *numbers])
    return stream.getvalue()


def _write_text(path: Path, text: str) -> None:
    files.write_atomic(path, lambda handle: handle.write(text.encode()))
