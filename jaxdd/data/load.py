"""From a data set's name to arrays on the device; what was decoded once is kept."""

from collections.abc import Callable
from pathlib import Path

from jaxdd import files
from jaxdd.base import Dataset
from jaxdd.data import digits
from jaxdd.data.cache import cached
from jaxdd.data.check import check_split
from jaxdd.data.corpus import dataset_from_arrays
from jaxdd.data.images import resize_all
from jaxdd.data.readers.archive import fingerprint
from jaxdd.data.readers.locate import Found, locate
from jaxdd.data.source import Arrays, Progress, silent
from jaxdd.errors import InputError
from jaxdd.records import DataSpec

__all__ = ["load"]

_FORMAT = "2"  # of the cache: change it when decoding changes


def load(
    spec: DataSpec,
    *,
    cache: Path | None = None,
    progress: Progress = silent,
    announce: Callable[[str], None] = lambda line: None,
) -> Dataset:
    """Reads a data set, brings it to shape and puts it on the device.

    Args:
      spec: names it. A `dir` that is an .npz file is read whatever the name says.
      cache: folder for downloads and decoded arrays, or None.
      progress: shows downloads and decoding.
      announce: told what the user must know, such as images that were left out.

    Raises:
      InputError: the name is unknown, files are missing, damaged or incomplete, or the
        arrays are not as `dataset_from_arrays` wants them.
    """
    if spec.resize is not None and spec.resize < 1:
        raise InputError(f"data.resize is {spec.resize}; it must be at least 1 pixel")
    found = locate(spec, cache, progress)
    arrays = _read(found, spec, cache, progress)
    for note in arrays.get("notes", ()):
        announce(str(note))
    names = _class_names(found, arrays)
    train = (arrays["x_train"], arrays.get("y_train"))
    test = (arrays["x_test"], arrays.get("y_test")) if "x_test" in arrays else None
    return dataset_from_arrays(train, test, spec, found.name, class_names=names)


def _class_names(found: Found, arrays: Arrays) -> tuple[str, ...]:
    """Those that the files give; another data set must not go by this one's name."""
    names = tuple(map(str, arrays.get("class_names", ())))
    if names and found.class_names and set(names) != set(found.class_names):
        raise InputError(
            f"{found.path} has the classes {', '.join(names[:5])} ..., and"
            f" {found.name} has {', '.join(found.class_names[:5])} ...; for images of"
            " your own give --data.name folder"
        )
    return names or found.class_names


def _read(
    found: Found, spec: DataSpec, cache: Path | None, progress: Progress
) -> Arrays:
    """The arrays, checked, as uint8 and int32, resized; from the cache if possible."""

    def decode() -> Arrays:
        arrays = found.form.read(found.path, spec, progress)  # type: ignore[arg-type]
        for split in ("train", "test"):
            pair = (arrays.get(f"x_{split}"), arrays.get(f"y_{split}"))
            if pair[0] is not None:
                image, label = check_split(*pair, f"{found.name}: {split}")
                arrays |= {f"x_{split}": image}
                arrays |= {} if label is None else {f"y_{split}": label}
        return arrays if found.form.resized else resize_all(arrays, spec)

    if cache is None:
        return decode()
    return cached(cache, _key(found, spec), decode)


def _key(found: Found, spec: DataSpec) -> str:
    """Names the decoded arrays by their source and by how they were made of it."""
    made = [spec.resize, spec.resize_mode if spec.resize else ""]
    if found.form.resized:  # only image folders are split, and have bad images
        made += [spec.test_share, spec.split_seed, spec.skip_bad]
    elif found.form.splits:
        made += [spec.test_share, spec.split_seed]
    return files.sha256(_FORMAT, found.name, repr(made), *_fingerprints(found))


def _fingerprints(found: Found) -> list[str]:
    path = found.path
    if path is None:
        return [digits.fingerprint()]
    others = [other for glob in found.form.beside for other in path.parent.glob(glob)]
    return [fingerprint(place) for place in (path, *sorted(others))]
