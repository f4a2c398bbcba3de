"""Files of other programs, read without importing or executing anything of them."""

import zipfile
from pathlib import Path

import numpy as np

from jaxdd import files
from jaxdd.errors import InputError
from jaxdd.foreign import safetensors, torch_file

__all__ = ["read_tensors"]


def read_tensors(path: Path, key: str | None = None) -> dict[str, np.ndarray]:
    """The named arrays of a checkpoint, whatever its name ends with.

    Args:
      path: a PyTorch checkpoint (either format), a safetensors file or an .npz.
      key: the entry of a PyTorch checkpoint that holds them; None finds it.

    Returns:
      Arrays by name; they may be read-only.

    Raises:
      InputError: the file is missing, damaged, of none of these formats, or contains
        code; nothing in it is executed.
    """
    path = Path(path)
    try:
        with path.open("rb") as handle:
            start = handle.read(14)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    if _is_npz(path):
        return files.read_npz(path)
    if start.startswith(b"PK") or torch_file.is_legacy(start):
        return torch_file.state_dict(torch_file.read(path), key, where=str(path))
    if start[8:9] == b"{":
        return safetensors.read(path)
    raise InputError(
        f"{path} is of no known format; a PyTorch checkpoint, a safetensors file or an "
        ".npz of arrays is read"
        + (". It is empty" if not start else f". It starts with {start!r}")
    )


def _is_npz(path: Path) -> bool:
    """Whether this is a zip archive of nothing but NumPy's arrays."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)
