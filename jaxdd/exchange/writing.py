"""Writes a set for other programs: .npz, image folder, Parquet, TFDS."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdd import files
from jaxdd.base import Distilled
from jaxdd.errors import InputError, one_of
from jaxdd.exchange import own, write_folder, write_parquet, write_tfds
from jaxdd.exchange.card import readme
from jaxdd.exchange.pixels import Loss, to_pixels
from jaxdd.exchange.table import make_table

__all__ = ["FORMATS", "Written", "write"]

FORMATS = ("npz", "folder", "parquet", "tfds")

_MARK = "export.json"
_WRITERS = {
    "folder": write_folder.write,
    "parquet": write_parquet.write,
    "tfds": write_tfds.write,
}


class Written(NamedTuple):
    """What was written: where, its bytes in all, and what the pixels lost."""

    path: Path
    size: int
    loss: Loss


def write(
    distilled: Distilled, path: str | Path, format: str = "npz", *, exact: bool = True
) -> Written:
    """Exports a set, all of it or nothing.

    Args:
      distilled: the set.
      path: the file (npz) or the folder to make; an earlier export there is replaced.
      format: one of `FORMATS`.
      exact: also put the set itself (`set.npz`) beside pictures, which lose what
        rounding and clipping change; the loss is measured and written down either way.

    Returns:
      Where it is, its size and the loss.

    Raises:
      InputError: an unknown format, a place that holds something else or cannot be
        written, or images that are no pictures.
    """
    path = Path(path)
    one_of("export", format, FORMATS)
    pixels, loss = to_pixels(distilled)
    if format == "npz":
        return Written(*_write_npz(distilled, path, pixels), loss)
    _check_folder(path)
    table = make_table(distilled, pixels)
    with files.atomic_folder(path) as folder:
        _WRITERS[format](folder, table)
        text = readme(distilled, format, loss, exact)
        files.write_atomic(
            folder / "README.md", lambda handle: handle.write(text.encode())
        )
        if exact:
            files.write_npz(folder / own.NAME, **own.to_arrays(distilled))
        about = {"format": format, "method": distilled.meta.method}
        files.write_json(folder / _MARK, about | {"loss": loss._asdict()})
    total = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    return Written(path, total, loss)


def _write_npz(
    distilled: Distilled, path: Path, pixels: np.ndarray
) -> tuple[Path, int]:
    """The set, and its pixels and classes by the names that data sets have."""
    path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    if path.is_dir() or (path.exists() and not own.is_own(path)):
        raise InputError(
            f"export_dir={str(path)!r} holds something else; choose another name"
        )
    arrays = own.to_arrays(distilled) | {"x_train": pixels}
    if "label" in arrays:
        arrays["y_train"] = arrays["label"]
    files.write_npz(path, **arrays)
    return path, path.stat().st_size


def _check_folder(path: Path) -> None:
    """Only an empty folder or an earlier export is replaced."""
    if not path.exists() or (path / _MARK).is_file():
        return
    if not path.is_dir() or any(path.iterdir()):
        raise InputError(
            f"export_dir={str(path)!r} holds something that is no export of jaxdd; "
            "give an empty or a new folder"
        )
