"""Reads the safetensors format: named arrays, and nothing that could run.

A file is the length of its header (8 bytes, little-endian), the header in JSON, then
the arrays' bytes one behind the other.
"""

import json
import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdd.errors import InputError

__all__ = ["parse", "read"]

_MOST_HEADER = 100_000_000  # the format's own limit
# What a header of another form makes the checks below raise.
_DAMAGE = (
    AttributeError,
    KeyError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)
_TYPES: dict[str, Any] = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": jnp.bfloat16,
    "F8_E4M3": jnp.float8_e4m3fn,
    "F8_E5M2": jnp.float8_e5m2,
    "C64": np.complex64,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}


def read(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, by name.

    Args:
      path: a file of any name.

    Returns:
      Read-only arrays.

    Raises:
      InputError: the file is missing, damaged or of another format.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    return parse(data, str(path))


def parse(data: bytes, where: str = "safetensors") -> dict[str, np.ndarray]:
    """`read` for bytes at hand; `where` names them in messages."""
    try:
        return _parse(data)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except _DAMAGE as error:
        raise InputError(
            f"{where}: its header is not that of a safetensors file, it may be damaged "
            f"({type(error).__name__}: {str(error)[:200]})"
        ) from error


def _parse(data: bytes) -> dict[str, np.ndarray]:
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(_MOST_HEADER, len(data) - 8):
        raise InputError(
            f"its header of {size:,} bytes does not fit into {len(data):,} bytes; the "
            "file is cut short or no safetensors file"
        )
    header = json.loads(data[8 : 8 + size], object_pairs_hook=_without_doubles)
    header.pop("__metadata__", None)
    body = memoryview(data)[8 + size :]
    _check_cover(header, len(body))
    return {name: _array(name, entry, body) for name, entry in header.items()}


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a name that stands twice would hide an array."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found


def _check_cover(header: dict[str, Any], size: int) -> None:
    """The arrays lie one behind the other, without gaps, and fill the file."""
    at = 0
    for start, end in sorted(entry["data_offsets"] for entry in header.values()):
        if type(start) is not int or type(end) is not int or start != at or end < start:
            raise InputError(
                f"an array lies at {start} to {end} where {at} was to follow; arrays "
                "overlap or leave gaps"
            )
        at = end
    if at != size:
        raise InputError(f"its arrays take {at:,} bytes and {size:,} are there")


def _array(name: str, entry: dict[str, Any], body: memoryview) -> np.ndarray:
    """One array, its type and shape checked against its bytes."""
    kind, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    if kind not in _TYPES:
        raise InputError(
            f"array {name[:100]!r} has type {str(kind)[:40]!r}; known are "
            f"{', '.join(_TYPES)}"
        )
    dtype = np.dtype(_TYPES[kind])
    counts = all(type(n) is int and n >= 0 for n in shape)
    if not counts or math.prod(shape) * dtype.itemsize != end - start:
        raise InputError(
            f"array {name[:100]!r} of type {kind} and shape {str(shape)[:100]} does "
            f"not fit into its {end - start:,} bytes"
        )
    return np.frombuffer(body[start:end], dtype).reshape(shape)
