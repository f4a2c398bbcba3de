"""Finds where a data set lies, and in which of its forms; downloads it if need be."""

import fnmatch
import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

from jaxdd.data import digits
from jaxdd.data.catalogue import SOURCES
from jaxdd.data.readers import folders, npz, parquet
from jaxdd.data.readers.archive import holds_images, holds_parquet, is_archive
from jaxdd.data.source import Form, Progress, Source
from jaxdd.errors import InputError, one_of
from jaxdd.records import DataSpec

__all__ = ["Found", "known_names", "locate"]

_DIGITS = Form("", lambda path, spec, progress: digits.read())
_NPZ = Form("*.npz", npz.read, splits=True)
_FOLDER = Form("*", folders.read, resized=True)
_PARQUET = Form("*.parquet", parquet.read, resized=True)
_TFDS = "tfds:"
_OWN_IMAGES = "For images of your own give --data.dir FOLDER alone"


class Found(NamedTuple):
    """A data set's form, and the file or folder it lies in (None: embedded)."""

    name: str
    form: Form
    path: Path | None
    class_names: tuple[str, ...] = ()


def known_names() -> tuple[str, ...]:
    """Everything that `data.name` may be."""
    return ("digits", *SOURCES, "folder", "npz", f"{_TFDS}NAME")


def locate(spec: DataSpec, cache: Path | None, progress: Progress) -> Found:
    """Finds the files of a data set.

    A `dir` that is an .npz file is read whatever the name says.

    Args:
      spec: its name, and where to look.
      cache: where downloads go; None downloads nothing.
      progress: of a download.

    Raises:
      InputError: an unknown name, or nothing to be found where it was looked for; the
        message says what is wanted and where to get it.
    """
    given = spec.dir or os.environ.get("JAXDD_DATA") or None
    path = None if given is None else Path(given).expanduser()
    if spec.name.startswith(_TFDS):
        return _prepared(spec.name.removeprefix(_TFDS), path)
    one_of("data.name", spec.name, known_names(), _OWN_IMAGES)
    if path is not None and path.suffix == ".npz" and _own_file(spec.name, path):
        return Found(path.stem, _NPZ, _existing(path, "an .npz file"))
    if spec.name == "digits":
        return Found("digits", _DIGITS, None, tuple("0123456789"))
    if spec.name in ("folder", "npz"):
        return _named_by_path(spec.name, path)
    source = SOURCES[spec.name]
    found = None if path is None else _search(spec.name, source, path)
    if found is None and spec.dir is not None and path is not None:
        if any(form.resized for form in source.forms) and holds_images(path):
            # What was pointed at is taken for it, whatever it is called.
            return Found(spec.name, _FOLDER, path, source.class_names)
        raise InputError(
            f"data.dir={str(path)!r}: {_wanted(spec.name, source)}"
            + (", or leave data.dir out to download it" if source.remotes else "")
        )
    return found or _download(spec.name, source, cache, progress)


def _own_file(name: str, path: Path) -> bool:
    """Whether an .npz file is somebody's own, rather than the data set's usual one."""
    forms = SOURCES[name].forms if name in SOURCES else ()
    return not any(fnmatch.fnmatch(path.name, form.pattern) for form in forms)


def _existing(path: Path, what: str) -> Path:
    if not path.exists():
        raise InputError(f"data.dir={str(path)!r} does not exist; give {what}")
    return path


def _named_by_path(name: str, path: Path | None) -> Found:
    what = {
        "npz": f"the path of an .npz file with {' '.join(npz.ARRAYS)}",
        "folder": "a folder with one folder of images a class, an archive of one,"
        " Parquet files, or a prepared data set of TFDS",
    }[name]
    if path is None or name == "npz":  # an .npz path has been dealt with
        raise InputError(f"data.name={name!r} needs data.dir: {what}")
    stem = path.name
    while is_archive(Path(stem)) or stem.endswith(".tar"):
        stem = Path(stem).stem
    return Found(stem or name, _form_of(_existing(path, what)), path)


def _form_of(path: Path) -> Form:
    """What a path that somebody points at holds, as far as names tell."""
    if (path / "features.json").is_file():
        return _prepared("folder", path).form  # it needs no name where it lies
    if path.suffix == ".parquet" or holds_parquet(path):
        return _PARQUET
    return _FOLDER


def _prepared(name: str, path: Path | None) -> Found:
    """A data set of TensorFlow Datasets."""
    from jaxdd.data.readers import tfds, tfds_find

    form = Form("", partial(tfds.read, name), resized=True)
    return Found(name, form, tfds_find.find(name, path))


def _search(name: str, source: Source, path: Path) -> Found | None:
    """The first form that lies in a folder, or that the path itself is."""
    for form in source.forms:
        if fnmatch.fnmatch(path.name, form.pattern.rsplit("/", 1)[-1]):
            if path.exists():
                return Found(name, form, path, source.class_names)
        elif path.is_dir() and (there := sorted(path.glob(form.pattern))):
            return Found(name, form, there[0], source.class_names)
    return None


def _wanted(name: str, source: Source) -> str:
    packed = "*.tar", "*.tgz", "*.zip"  # of folders that are named too
    patterns = ", ".join(
        f"{form.pattern} (images, or an archive of them)"
        if form.resized
        else form.pattern
        for form in source.forms
        if not (form.resized and any(ending in form.pattern for ending in packed))
    )
    home = f" (from {source.home})" if source.home else ""
    return (
        f"nothing of data set {name!r} is there; give the folder that holds one of"
        f" {patterns}, or the path of one{home}"
    )


def _download(
    name: str, source: Source, cache: Path | None, progress: Progress
) -> Found:
    """Fetches the files into the cache, unless they are there already."""
    from jaxdd.data.readers.download import fetch_all

    if not source.remotes or cache is None or os.environ.get("JAXDD_OFFLINE"):
        why = (
            "it is not published for download"
            if not source.remotes
            else (
                "nothing is downloaded here"
                if cache is None
                else "JAXDD_OFFLINE is set"
            )
        )
        raise InputError(
            f"data.name={name!r}: {why}, and no data.dir (or JAXDD_DATA) is given;"
            f" {_wanted(name, source)}"
        )
    folder = cache / "downloads" / name
    fetch_all(source, name, folder, progress)
    found = _search(name, source, folder)
    assert found is not None, f"the catalogue's row of {name} does not fit its files"
    return found
