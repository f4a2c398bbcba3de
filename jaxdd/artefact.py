"""A distilled set on disk: a folder with `arrays.npz` and `meta.json`.

The folder holds all that is needed to use the set and to measure it again: images and
targets, the whitening that test images need, modules such as the teacher, the protocol
it is judged by, and the figures it had when it was saved.
"""

import dataclasses
import importlib.metadata
import platform
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import files, format1, tree, whiten
from jaxdd.base import Distilled, PyTree, Synthetic, Variables
from jaxdd.errors import InputError
from jaxdd.records import Meta, from_dict, to_dict

__all__ = ["FORMAT", "annotate", "load", "pack", "save", "storage", "unpack"]

FORMAT = 2
"""Version of the layout; a reader takes format 1 as well, and refuses any other."""

_ARRAYS, _META = "arrays.npz", "meta.json"
_PACKAGES = ("jaxdd", "jax", "flax", "optax", "numpy")


def save(distilled: Distilled, path: str | Path) -> Distilled:
    """Writes a set as a folder, all of it or nothing.

    Args:
      distilled: the set; the storage ledger of its meta is filled here, and versions
        of the packages where it has none.
      path: the folder to make; a set that is already there is replaced.

    Returns:
      The set as stored, with the ledger.

    Raises:
      InputError: the folder cannot be written.
    """
    versions = distilled.meta.versions or _versions()
    meta = dataclasses.replace(
        distilled.meta, storage=storage(distilled), versions=versions
    )
    content = _content(distilled)
    with files.atomic_folder(Path(path)) as folder:
        files.write_npz(folder / _ARRAYS, **_flatten(content))
        description = {
            "format": FORMAT,
            "meta": to_dict(meta),
            "whitening": distilled.whitening.kind,
            "content": _describe(content),
            "sha256": files.hash_file(folder / _ARRAYS),
        }
        files.write_json(folder / _META, description)
    return Distilled(distilled.synthetic, meta, distilled.whitening, distilled.modules)


def load(path: str | Path) -> Distilled:
    """Reads a set written by `save`, ready to be used and evaluated.

    Args:
      path: the folder.

    Returns:
      The set, with its whitening; tuples and lists inside modules come back as tuples.

    Raises:
      InputError: there is no set, another version of the format wrote it, or a file is
        missing, truncated or changed.
    """
    path = Path(path)
    description = _description(path)
    content = _restore(description["content"], _arrays(path, description), path)
    meta = _meta(path, description)
    try:
        synthetic = Synthetic(**content["synthetic"])
        modules = {n: Variables(**parts) for n, parts in content["modules"].items()}
        whitening = whiten.from_arrays(description["whitening"], content["whitening"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, f"{_META} does not fit: {error}") from error
    return Distilled(synthetic, meta, whitening, modules)


def annotate(path: str | Path, **changes: Any) -> None:
    """Changes the description of a saved set; its arrays stay as they are.

    Args:
      path: the folder.
      **changes: fields of its meta, such as `rows`.

    Raises:
      InputError: there is no set of this format, or the folder cannot be written.
    """
    path = Path(path)
    description = _description(path)
    meta = dataclasses.replace(_meta(path, description), **changes)
    changed = {"format": FORMAT, "meta": to_dict(meta)}
    files.write_json(path / _META, description | changed)


def storage(distilled: Distilled) -> dict[str, int]:
    """The storage ledger, in bytes: images, targets, modules, whitening.

    Targets include weights and learned scalars. Images that are decoded from fewer
    numbers count as those.
    """
    s = distilled.synthetic
    parts = {
        "images": s.image,
        "targets": (s.target, s.weight, s.hyper),
        "modules": distilled.modules,
        "whitening": distilled.whitening,
    }
    ledger = {name: tree.size_in_bytes(part) for name, part in parts.items()}
    if distilled.meta.image_floats:
        ledger["images"] = distilled.meta.image_floats * s.image.dtype.itemsize
    return ledger


def pack(content: PyTree) -> tuple[dict[str, np.ndarray], Any]:
    """Nested containers of arrays as arrays by path, and a description for JSON.

    Args:
      content: dicts, lists and tuples of arrays.

    Returns:
      What `unpack` takes: the arrays, such as `modules/teacher/params/bias`, and the
      same nesting with `dtype[shape]` in place of arrays.
    """
    return _flatten(content), _describe(content)


def unpack(description: Any, arrays: dict[str, np.ndarray], path: Path) -> PyTree:
    """The inverse of `pack`; tuples and lists come back as tuples.

    Args:
      description: as `pack` returned it.
      arrays: at least those that it describes.
      path: the file, for messages.

    Raises:
      InputError: an array is missing, or is not as described.
    """
    return _restore(description, arrays, path)


def _content(distilled: Distilled) -> dict[str, Any]:
    """Everything with arrays in it, as nested dicts."""
    return {
        "synthetic": distilled.synthetic._asdict(),
        "whitening": whiten.to_arrays(distilled.whitening),
        "modules": {n: m._asdict() for n, m in distilled.modules.items()},
    }


def _flatten(content: PyTree) -> dict[str, np.ndarray]:
    """Arrays by path, such as `modules/teacher/params/conv_0/kernel`."""
    leaves = jax.tree_util.tree_leaves_with_path(content)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in leaves
    }


def _describe(content: PyTree) -> Any:
    """The same nesting with `dtype[shape]` in place of arrays; empty parts stay."""
    if isinstance(content, dict):
        return {str(name): _describe(part) for name, part in content.items()}
    if isinstance(content, list | tuple):
        return [_describe(part) for part in content]
    return _signature(np.asarray(content))


def _signature(array: np.ndarray) -> str:
    return f"{array.dtype.name}[{','.join(map(str, array.shape))}]"


def _restore(description: Any, arrays: dict[str, np.ndarray], path: Path) -> PyTree:
    """The inverse of `_flatten`, from the description that says what must be there."""

    def build(part: Any, name: str) -> PyTree:
        if isinstance(part, dict):
            return {key: build(p, f"{name}/{key}") for key, p in part.items()}
        if isinstance(part, list):
            return tuple(build(p, f"{name}/{i}") for i, p in enumerate(part))
        return jnp.asarray(_typed(arrays, name[1:], part, path))

    return build(description, "")


def _typed(
    arrays: dict[str, np.ndarray], name: str, signature: str, path: Path
) -> np.ndarray:
    """One array, checked against its description."""
    if name not in arrays:
        raise _damaged(path, f"{_ARRAYS} lacks {name!r}")
    found = _signature(arrays[name])
    if found != signature:
        raise _damaged(path, f"{name!r} is {found} where {signature} is described")
    return arrays[name]


def _description(path: Path) -> dict[str, Any]:
    if not (path / _META).is_file():
        raise InputError(
            f"path={str(path)!r}: there is no distilled set here ({_META} is missing); "
            "give a folder that jaxdd.save or a finished run has written"
        )
    description = files.read_json(path / _META)
    if not isinstance(description, dict) or "format" not in description:
        raise _damaged(path, f"{_META} is not the description of a set")
    if description["format"] not in (1, FORMAT):
        raise InputError(
            f"path={str(path)!r}: the set has format {description['format']!r}, and "
            f"this version of jaxdd reads formats 1 and {FORMAT}; load it with the "
            "version of jaxdd that wrote it"
        )
    missing = {"meta", "whitening", "content", "sha256"} - set(description)
    if missing:
        raise _damaged(path, f"{_META} lacks {sorted(missing)[0]!r}")
    return description


def _meta(path: Path, description: dict[str, Any]) -> Meta:
    try:
        if description["format"] == 1:
            return from_dict(Meta, format1.upgrade_meta(description["meta"]))
        return from_dict(Meta, description["meta"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, f"{_META} does not fit: {error}") from error


def _arrays(path: Path, description: dict[str, Any]) -> dict[str, np.ndarray]:
    if files.hash_file(path / _ARRAYS) != description["sha256"]:
        raise _damaged(path, f"{_ARRAYS} is not the file that was saved")
    return files.read_npz(path / _ARRAYS)


def _damaged(path: Path, what: str) -> InputError:
    return InputError(
        f"path={str(path)!r}: damaged set ({what}); copy it again from where it is "
        "whole, or distill it anew"
    )


def _versions() -> dict[str, str]:
    packages = {name: importlib.metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), **packages}
