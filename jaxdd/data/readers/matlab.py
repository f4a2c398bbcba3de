"""Numeric arrays from MATLAB 5 files (the default of MATLAB's `save -v6` and `-v7`).

SciPy reads these too, but crashes the process on damaged ones; here every size is
checked. Format: "MAT-File Format", The MathWorks, version 5.
"""

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxdd.errors import InputError

__all__ = ["read"]

_HEADER = 128
_TYPES = {  # of stored numbers
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4"},
    **{7: "f4", 9: "f8", 12: "i8", 13: "u8"},
}
_CLASSES = {  # of arrays; numbers may be stored smaller than their class
    **{6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2"},
    **{12: "i4", 13: "u4", 14: "i8", 15: "u8"},
}
_MATRIX, _COMPRESSED = 14, 15
_COMPLEX = 0x800
_LARGEST = 2**31  # bytes of an array; a damaged size must not fill the memory


class _Element(NamedTuple):
    kind: int
    data: memoryview


def read(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """Reads the arrays with these names; anything else in the file is passed over.

    Returns:
      Those that are there, by name, in column-major order as MATLAB has them.

    Raises:
      InputError: the file is missing, damaged or no MATLAB 5 file, or one of the names
        is no array of real numbers.
    """
    try:
        content = memoryview(Path(path).read_bytes())
        order = _byte_order(content)
        arrays = {}
        for element in _elements(content[_HEADER:], order):
            element = _unpacked(element, order)
            if element.kind == _MATRIX:
                arrays |= _array(element.data, order, names)
        return arrays
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except (OSError, ValueError, struct.error, zlib.error, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{path} cannot be read, it may be damaged: {reason}. Download it again"
        ) from error


def _byte_order(content: memoryview) -> str:
    marks = {b"\x00\x01IM": "<", b"\x01\x00MI": ">"}
    mark = bytes(content[_HEADER - 4 : _HEADER])
    if mark not in marks:
        raise ValueError("it does not start as a MATLAB 5 file (-v6, -v7) does")
    return marks[mark]


def _elements(content: memoryview, order: str) -> Iterator[_Element]:
    """The elements of a file or of an array, one after the other."""
    while content:
        kind, size = struct.unpack_from(f"{order}2I", content)
        small = kind >> 16
        start = 4 if small else 8
        kind, size = (kind & 0xFFFF, small) if small else (kind, size)
        if size > (4 if small else len(content) - start):
            raise ValueError(f"an element of {size:,} bytes goes beyond the end")
        yield _Element(kind, content[start : start + size])
        used = 8 if small else start + size
        padded = used if kind == _COMPRESSED else -(-used // 8) * 8
        content = content[padded:]


def _unpacked(element: _Element, order: str) -> _Element:
    if element.kind != _COMPRESSED:
        return element
    stream = zlib.decompressobj()
    tag = stream.decompress(element.data, 8)
    kind, size = struct.unpack(f"{order}2I", tag)
    if size > _LARGEST:
        raise ValueError(f"an array announces {size:,} bytes")
    data = stream.decompress(stream.unconsumed_tail, size) if size else b""
    stream.decompress(stream.unconsumed_tail, 1)  # the checksum stands at the end
    if len(data) != size or not stream.eof:
        raise ValueError("a packed array is of another size than it says")
    return _Element(kind, memoryview(data))


def _array(
    content: memoryview, order: str, names: Collection[str]
) -> dict[str, np.ndarray]:
    """The array by its name, or nothing if it is not wanted."""
    parts = _elements(content, order)
    flags, shape, name, values = (next(parts, None) for _ in range(4))
    if flags is None or shape is None or name is None:
        raise ValueError("an array lacks its flags, shape or name")
    text = bytes(name.data).decode("latin-1")
    if text not in names:
        return {}
    bits = int(_numbers(flags, order)[0]) if flags.data else 0
    if values is None or bits & 0xFF not in _CLASSES or bits & _COMPLEX:
        raise ValueError(f"{text} is no array of real numbers")
    size = _numbers(shape, order).tolist()
    stored = _numbers(values, order)
    if any(n < 0 for n in size) or math.prod(size) != len(stored):
        raise ValueError(f"{text} has {len(stored)} numbers, its shape is {size}")
    array = stored.reshape(size, order="F")
    return {text: array.astype(_CLASSES[bits & 0xFF], copy=False)}


def _numbers(element: _Element, order: str) -> np.ndarray:
    if element.kind not in _TYPES:
        raise ValueError(f"numbers of the unknown type {element.kind}")
    return np.frombuffer(element.data, f"{order}{_TYPES[element.kind]}")
