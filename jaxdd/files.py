"""Reading and writing files so that nothing is ever half there.

Everything is written beside its target and renamed into place, so a full disk, a kill
or a crash leaves what was there before. Everything read is checked, and a damaged file
is an `InputError` that names it. Pickled data is never loaded.
"""

import contextlib
import hashlib
import json
import os
import shutil
import struct
import time
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxdd.errors import InputError

__all__ = [
    "atomic_folder",
    "hash_file",
    "npz_names",
    "read_json",
    "read_npz",
    "sha256",
    "write_atomic",
    "write_json",
    "write_npz",
]

_STALE = 24 * 3600  # seconds after which a temporary can only be a killed run's
_DAMAGE = (
    OSError,
    ValueError,  # malformed headers, object arrays, pickles
    EOFError,
    KeyError,
    NotImplementedError,  # an unknown compression method: a damaged directory
    RuntimeError,  # an encrypted member: a damaged flag
    MemoryError,  # a damaged shape
    SyntaxError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def write_atomic(path: Path, writer: Callable[[BinaryIO], object]) -> None:
    """Writes a file through `writer(handle)`; it appears whole or not at all.

    Raises:
      InputError: the system refused (no permission, no space, no such folder); the
        previous file is untouched and no temporary is left.
    """
    path = Path(path).absolute()
    with _temporary(path) as temporary:
        with temporary.open("xb") as handle:
            writer(handle)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
        _sync(path.parent)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a new empty folder that becomes `path` when the block ends well.

    A folder that was at `path` is replaced. If the process is killed in the instant
    between the two renames, the old one is found beside it with the ending `.old`.

    Raises:
      InputError: the system refused to write; what was at `path` is untouched.
    """
    path = Path(path).absolute()
    with _temporary(path) as temporary:
        temporary.mkdir()
        yield temporary
        for entry in (*temporary.rglob("*"), temporary):
            _sync(entry)
        _swap(temporary, path)
        _sync(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Writes a value as indented JSON, atomically; arrays become lists."""
    text = json.dumps(value, indent=1, default=_plain) + "\n"
    write_atomic(path, lambda handle: handle.write(text.encode()))


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
      InputError: the file is missing or is not JSON.
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error


def write_npz(path: Path, /, **arrays: Any) -> None:
    """Writes arrays to an uncompressed .npz, atomically and the same each time.

    NumPy cannot store JAX's extra types (bfloat16 ...); such an array is stored as
    unsigned integers under `name|type`, which `read_npz` undoes.

    Raises:
      InputError: as `write_atomic`.
      TypeError: an array holds Python objects.
    """
    stored = dict(_encode(name, np.asarray(array)) for name, array in arrays.items())
    # NumPy's stub takes `allow_pickle` for one of the arrays' names.
    write_atomic(path, lambda handle: np.savez(handle, **stored))  # type: ignore


def read_npz(path: Path, names: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Reads a whole .npz file, checksums included.

    Args:
      path: the file.
      names: arrays that must be there; all arrays are returned if empty.

    Returns:
      The arrays by name.

    Raises:
      InputError: the file is missing, truncated, damaged or not an .npz, an array is
        missing, or one holds Python objects.
    """
    found, arrays = [], {}
    try:
        with zipfile.ZipFile(Path(path)) as archive:
            found = [entry.removesuffix(".npy") for entry in archive.namelist()]
            for name in found:
                if not names or name in names:
                    arrays.update([_decode(name, _read_member(archive, name))])
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except _DAMAGE as error:
        raise _unreadable(path, error) from error
    missing = [name for name in names if name not in arrays]
    if missing:
        raise InputError(
            f"{path} has no array {', '.join(missing)}; it must hold "
            f"{', '.join(names)} and holds {', '.join(found) or 'none'}"
        )
    return arrays


def npz_names(path: Path) -> list[str]:
    """The names of the arrays in an .npz file, none of which is read.

    Raises:
      InputError: the file is missing or no .npz.
    """
    try:
        with zipfile.ZipFile(Path(path)) as archive:
            names = [entry.removesuffix(".npy") for entry in archive.namelist()]
    except _DAMAGE as error:
        raise _unreadable(path, error) from error
    return [name.partition("|")[0] for name in names]


def sha256(*chunks: Any) -> str:
    """SHA-256 (hex) over bytes, strings and arrays, each with its type and size."""
    total = hashlib.sha256()
    for chunk in chunks:
        if isinstance(chunk, str | bytes):
            data = chunk.encode() if isinstance(chunk, str) else chunk
            total.update(f"{type(chunk).__name__}:{len(data)}:".encode())
            total.update(data)
        else:
            array = np.ascontiguousarray(chunk)
            total.update(f"{array.dtype}:{np.shape(chunk)}:".encode())
            total.update(array.reshape(-1).view(np.uint8).data)
    return total.hexdigest()


def hash_file(path: Path) -> str:
    """SHA-256 (hex) of a file's bytes.

    Raises:
      InputError: the file cannot be read.
    """
    try:
        with Path(path).open("rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def _read_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as member:
        try:
            array = np.lib.format.read_array(member, allow_pickle=False)
        except ValueError as error:
            if "Object arrays" not in str(error):
                raise
            raise InputError(
                f"array {name} holds Python objects, which are never loaded; save it "
                "as a plain array of numbers"
            ) from error
        if member.read(1):  # the checksum is verified at the end only
            raise ValueError(f"array {name} is longer than it says")
        return array


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A path beside `path` that is gone afterwards, whatever happens."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        yield temporary
    except OSError as error:
        raise InputError(
            f"cannot write {path}: {error.strerror or error}. Choose a folder that is "
            "writable and has free space; what was saved before is unchanged"
        ) from error
    finally:
        _remove(temporary)


def _sweep(path: Path) -> None:
    """Removes what killed runs left of `path` long ago; it may be gigabytes."""
    for entry in path.parent.iterdir():
        if entry.name.startswith(f".{path.name}.") and entry.suffix == ".tmp":
            with contextlib.suppress(OSError):
                if time.time() - entry.stat().st_mtime > _STALE:
                    _remove(entry)


def _swap(temporary: Path, path: Path) -> None:
    if not path.exists():
        os.rename(temporary, path)
        return
    old = temporary.with_suffix(".old")
    os.rename(path, old)
    try:
        os.rename(temporary, path)
    except OSError:
        os.rename(old, path)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Flushes a file or a folder's entries to disk, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _encode(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    if array.dtype.hasobject:
        raise TypeError(f"array {name!r} holds Python objects")
    if array.dtype.isbuiltin == 1 or array.dtype.kind in "SU":
        return name, array
    unsigned = np.dtype(f"u{array.dtype.itemsize}")
    return f"{name}|{array.dtype.name}", np.asarray(array, order="C").view(unsigned)


def _decode(name: str, array: np.ndarray) -> tuple[str, np.ndarray]:
    plain, _, kind = name.partition("|")
    return plain, array.view(np.dtype(kind)) if kind else array


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} does not fit into JSON")


def _unreadable(path: Path, reason: object) -> InputError:
    if isinstance(reason, FileNotFoundError):
        return InputError(f"{path} does not exist")
    detail = getattr(reason, "strerror", None) or reason
    return InputError(f"{path} cannot be read, it may be damaged: {detail}")
