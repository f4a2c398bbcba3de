"""Finds prepared data sets of TensorFlow Datasets, or has them prepared.

Preparing needs TensorFlow, the extra `jaxdd[tfds]`, and is done where it is installed.
"""

import fnmatch
import importlib.util
import os
import re
from pathlib import Path

from jaxdd.errors import InputError

__all__ = ["FORMAT", "find", "first_line", "prepare"]

FORMAT = "array_record"
"""The file format of TFDS that is read without TensorFlow."""

_NAME = re.compile(r"\w+(/[\w.+-]+)?(:[0-9.*]+)?")  # name, configuration, version
_VERSION = re.compile(r"[0-9]+(\.[0-9]+){2}")


def find(name: str, folder: Path | None) -> Path:
    """The folder of the newest prepared version of a data set.

    Where there is none, and TensorFlow is installed, it is prepared.

    Args:
      name: `name`, `name/configuration` or `name:version`, as TFDS has it.
      folder: that folder itself, or the one that holds TFDS's data sets; TFDS's own
        (`TFDS_DATA_DIR`) is searched after it.

    Raises:
      InputError: nothing is prepared and TensorFlow is not there to do it, or there are
        several configurations.
    """
    if not _NAME.fullmatch(name):
        raise InputError(
            f"data.name 'tfds:{name}' is none of tfds:NAME, tfds:NAME/CONFIGURATION, "
            "tfds:NAME:VERSION"
        )
    if folder is not None and (Path(folder) / "features.json").is_file():
        return Path(folder)
    roots = _roots(folder)
    for root in roots:
        found = _search(root, name)
        if found is not None:
            return found
    if importlib.util.find_spec("tensorflow") and not os.environ.get("JAXDD_OFFLINE"):
        return prepare(name, roots[0])
    raise InputError(
        f"the TFDS data set {name!r} is prepared in none of "
        f"{', '.join(map(str, roots))}. To prepare it: pip install 'jaxdd[tfds]', then "
        f"tfds build {name.partition(':')[0]} --file_format={FORMAT} --data_dir="
        f"{roots[0]}"
    )


def prepare(name: str, folder: Path) -> Path:
    """Downloads a data set and prepares it as ArrayRecord, with TensorFlow.

    Returns:
      The folder it was prepared in.

    Raises:
      InputError: TFDS could not do it, for whatever reason.
    """
    try:
        import tensorflow
        import tensorflow_datasets

        tensorflow.config.set_visible_devices([], "GPU")  # they are JAX's
        builder = tensorflow_datasets.builder(
            name, data_dir=os.fspath(folder), file_format=FORMAT
        )
        builder.download_and_prepare()
        return Path(builder.data_dir)
    except Exception as error:  # every data set has code of its own
        raise InputError(
            f"TFDS could not prepare {name!r} in {folder}: {first_line(error)}"
        ) from error


def _roots(folder: Path | None) -> list[Path]:
    own = os.environ.get("TFDS_DATA_DIR") or Path.home() / "tensorflow_datasets"
    given = [] if folder is None else [folder, Path(folder) / "tensorflow_datasets"]
    return list(map(Path, [*given, own]))


def _search(root: Path, name: str) -> Path | None:
    """The newest fitting version of the only fitting configuration."""
    base, _, version = name.partition(":")
    if found := _newest(root / base, version):
        return found
    there = sorted(root.joinpath(base).glob("*/"))
    configurations = {c.name: found for c in there if (found := _newest(c, version))}
    if len(configurations) > 1:
        raise InputError(
            f"the TFDS data set {name!r} has several configurations in {root}; choose "
            f"one: {', '.join(f'tfds:{base}/{c}' for c in configurations)}"
        )
    return next(iter(configurations.values()), None)


def _newest(folder: Path, version: str) -> Path | None:
    fitting = [
        place.parent
        for place in folder.glob("*/features.json")
        if _VERSION.fullmatch(place.parent.name)
        and fnmatch.fnmatch(place.parent.name, version or "*")
    ]
    return max(fitting, key=lambda f: [*map(int, f.name.split("."))], default=None)


def first_line(error: Exception) -> str:
    """What an error says, without the pages that TFDS adds."""
    text = str(error).strip().splitlines()
    name = type(error).__name__
    return f"{name}: {text[0][:300].rstrip('.')}" if text else name
