"""Reads PyTorch's checkpoints (`.pt`, `.pth`, `.ckpt`) without PyTorch.

Both formats are read: the zip archive (since 1.6) and the pickles before it. Nothing is
executed; tensors become NumPy arrays, a few harmless objects plain containers.
"""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxdd.errors import InputError
from jaxdd.foreign import pickles
from jaxdd.foreign.torch_objects import TENSORS, item_type, torch_globals

__all__ = ["is_legacy", "read", "state_dict"]

_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY = b"\x80\x02\x8a\x0a" + _MAGIC.to_bytes(10, "little")
_WHERE = ("state_dict", "model_state_dict", "model", "network", "net", "backbone")
_REMEDY = (
    "Where the file was written, save its tensors alone, e.g. "
    'torch.save(torch.load(FILE)["state_dict"], "weights.pt"), or as .safetensors'
)


def read(path: Path) -> Any:
    """Everything a checkpoint holds.

    Args:
      path: a file that `torch.save` wrote, by any name.

    Returns:
      Containers, numbers and text, with tensors as read-only arrays. What a file only
      names (a class, a type) is a `pickles.Placeholder`.

    Raises:
      InputError: the file is missing, damaged or of another format, or calls what only
        PyTorch or its own program could run; then nothing is run.
    """
    path = Path(path)
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _read_zip(archive, path)
        return _read_legacy(path.read_bytes(), str(path))
    except pickles.CodeRefused as error:
        raise InputError(f"{error}. {_REMEDY}") from error
    except InputError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except Exception as error:  # whatever damage makes zipfile or a reader raise
        raise InputError(
            f"{path} cannot be read, it may be damaged: {error}"
        ) from error


def state_dict(tree: Any, key: str | None = None, *, where: str = "checkpoint") -> dict:
    """The named tensors of a checkpoint.

    Args:
      tree: what `read` returned.
      key: the entry that holds them; None looks at the customary places (state_dict,
        model ...), then at the top.
      where: the file's name, for messages.

    Returns:
      Arrays by name.

    Raises:
      InputError: there are none, or one is not plain data.
    """
    top = tree if isinstance(tree, dict) else {}
    places = [top.get(name) for name in ((key,) if key else _WHERE)]
    places += [] if key else [top]
    for place in places:
        found = _tensors(place, where)
        if found:
            return found
    raise InputError(
        f"{where} has no tensors by name {f'under {key!r}' if key else ''}; its top "
        f"level holds {', '.join(map(str, top))[:300] or type(tree).__name__}"
    )


def is_legacy(start: bytes) -> bool:
    """Whether a file that starts like this is a checkpoint from before the archives."""
    return start.startswith(_LEGACY)


def _tensors(place: Any, where: str) -> dict[str, np.ndarray]:
    """The arrays directly in a dict; other entries are counters and settings."""
    found = {}
    for name, value in place.items() if isinstance(place, dict) else ():
        if isinstance(value, pickles.Placeholder):
            raise InputError(
                f"{where}: its entry {name!r} is {value}, which cannot be rebuilt "
                f"without the program that wrote it. {_REMEDY}"
            )
        if isinstance(name, str) and isinstance(value, np.ndarray):
            found[name] = value
    return found


def _read_zip(archive: zipfile.ZipFile, path: Path) -> Any:
    """The archive's `data.pkl`, with the tensors' bytes beside it."""
    names = archive.namelist()
    roots = [n.removesuffix("data.pkl") for n in names if n.endswith("/data.pkl")]
    if len(roots) != 1:
        raise InputError(
            f"{path} is a zip archive but no PyTorch checkpoint: it has "
            f"{len(roots)} entries data.pkl and needs one"
        )
    root = roots[0]
    if f"{root}constants.pkl" in names:
        raise InputError(f"{path} is a TorchScript program, not data. {_REMEDY}")
    _check_sizes(archive, path)
    order = f"{root}byteorder"
    if order in names and archive.read(order) != b"little":
        raise InputError(f"{path} was written on a big-endian machine. {_REMEDY}")
    storages: dict[str, np.ndarray] = {}

    def storage(kind: Any, name: str, count: int) -> np.ndarray:
        if name not in storages:
            raw = archive.read(f"{root}data/{name}")
            storages[name] = _storage(raw, kind, count)
        return storages[name]

    return pickles.load(
        archive.read(f"{root}data.pkl"),
        allowed=torch_globals(),
        persistent=_persistent(storage),
        where=str(path),
        encoding="utf-8",
    )


def _check_sizes(archive: zipfile.ZipFile, path: Path) -> None:
    """PyTorch never compresses, so no archive is smaller than what it holds."""
    entries = archive.infolist()
    packed = [e.filename for e in entries if e.compress_type != zipfile.ZIP_STORED]
    total = sum(entry.file_size for entry in entries)
    if packed or total > path.stat().st_size:
        raise InputError(
            f"{path}: "
            + (f"{packed[0]} is compressed" if packed else "it unpacks")
            + f" to {total:,} bytes in all; checkpoints are stored plainly. {_REMEDY}"
        )


def _read_legacy(data: bytes, where: str) -> Any:
    """Three pickles of facts, the object, the storages' names, then their bytes."""
    if not is_legacy(data):
        raise InputError(
            f"{where} is no PyTorch checkpoint: neither the zip archive that "
            "torch.save writes nor the format before it"
        )
    at = 0
    for _ in range(3):
        facts, at = pickles.load_next(data, at, where=where)
    if not facts["little_endian"]:
        raise InputError(f"{where} was written on a big-endian machine. {_REMEDY}")
    kinds: dict[str, Any] = {}

    def note(kind: Any, name: str, count: int) -> None:
        del count
        kinds[name] = kind

    # The bytes come last and their types first, so the object is read twice.
    blank = {**torch_globals(), **dict.fromkeys(TENSORS, lambda *_: None)}
    _, end = pickles.load_next(
        data, at, allowed=blank, persistent=_persistent(note), where=where
    )
    storages = _legacy_storages(data, end, kinds, where)
    value, _ = pickles.load_next(
        data,
        at,
        allowed=torch_globals(),
        persistent=_persistent(lambda kind, name, count: storages[name]),
        where=where,
    )
    return value


def _legacy_storages(
    data: bytes, at: int, kinds: Mapping[str, Any], where: str
) -> dict[str, np.ndarray]:
    """The storages behind the object: for each a count of items, then the items."""
    names, at = pickles.load_next(data, at, where=where)
    stream, storages = io.BytesIO(data), {}
    stream.seek(at)
    for name in names:
        kind = kinds[name]
        count = int.from_bytes(stream.read(8), "little")
        raw = stream.read(count * item_type(kind).itemsize)
        storages[name] = _storage(raw, kind, count)
    if stream.read(1):
        raise InputError(f"{where}: bytes follow its end; the file is damaged")
    return storages


def _persistent(
    storage: Callable[[Any, str, int], Any],
) -> Callable[[Any], Any]:
    """Reads an id: ("storage", type, name, device, items[, view])."""

    def find(identity: Any) -> Any:
        what, kind, name, _, count, *view = identity
        if what != "storage" or type(name) is not str or view not in ([], [None]):
            raise InputError(f"it refers to {str(identity)[:100]}, which is not known")
        return storage(kind, name, count)

    return find


def _storage(raw: bytes, kind: Any, count: int) -> np.ndarray:
    """The bytes of a storage, as many as it says."""
    dtype = item_type(kind)
    if len(raw) != count * dtype.itemsize:
        raise InputError(
            f"it holds a storage of {count} items {dtype} in {len(raw)} bytes"
        )
    return np.frombuffer(raw, dtype)
