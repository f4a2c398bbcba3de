"""Rebuilds plain numeric NumPy arrays from what a pickle says about them.

Every value is checked: the type is a number's, and shape and bytes agree. Objects,
records, strings and dates are refused.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np

from jaxdd.errors import InputError
from jaxdd.foreign.plain import Placeholder

__all__ = ["numpy_globals", "set_state"]

_CODE = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248]|c8|c16)")


class _Type:
    """A number's type; its byte order arrives later than its code."""

    def __init__(self, code: str):
        if not _CODE.fullmatch(code):
            raise InputError(
                f"it holds an array of type {code[:40]!r}; only arrays of plain "
                "numbers are read"
            )
        self.dtype = np.dtype(code)


def numpy_globals() -> Mapping[tuple[str, str], Callable[..., Any]]:
    """The functions that pickles of NumPy arrays and scalars call, for `pickles.load`.

    Protocols 0 to 5, written by Python 2 or 3 and NumPy 1 or 2.
    """
    table: dict[tuple[str, str], Callable[..., Any]] = {("numpy", "dtype"): _type}
    for core in ("numpy.core", "numpy._core"):
        table[f"{core}.multiarray", "_reconstruct"] = _unfilled
        table[f"{core}.multiarray", "scalar"] = _scalar
        table[f"{core}.numeric", "_frombuffer"] = _from_buffer
    return table


def set_state(target: Any, state: Any) -> bool:
    """Gives a type or an unfilled array its state; False for any other object."""
    if type(target) is _Type:
        _, order, *_ = state
        target.dtype = target.dtype.newbyteorder(cast(Any, _text(order)))
    elif type(target) is np.ndarray and target.size == 0:
        _fill(target, state)
    else:
        return False
    return True


def _type(code: Any, align: Any = 0, copy: Any = 0) -> _Type:
    del align, copy
    return _Type(_text(code))


def _unfilled(kind: Any, shape: Any, code: Any) -> np.ndarray:
    del shape, code
    if kind != Placeholder("numpy", "ndarray"):
        raise InputError(f"it holds a {kind}; only plain NumPy arrays are read")
    return np.empty(0, np.int8)


def _fill(target: np.ndarray, state: Any) -> None:
    """Sets shape, type and numbers of an array that another object may hold."""
    *_, shape, kind, columns_first, raw = state
    data = _checked(raw, kind, shape)
    state = (1, shape, kind.dtype, bool(columns_first), data)
    target.__setstate__(cast(Any, state))


def _from_buffer(raw: Any, kind: Any, shape: Any, order: Any) -> np.ndarray:
    data = _checked(raw, kind, shape)
    order = "F" if _text(order) == "F" else "C"
    return np.frombuffer(data, kind.dtype).reshape(shape, order=order).copy(order)


def _scalar(kind: Any, raw: Any) -> Any:
    return np.frombuffer(_checked(raw, kind, ()), kind.dtype)[0]


def _checked(raw: Any, kind: Any, shape: Any) -> bytes:
    """The bytes of an array, exactly as many as its type and shape need."""
    if type(kind) is not _Type:
        raise TypeError("an array without a type")
    if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape):
        raise InputError(f"it holds an array of shape {str(shape)[:80]}")
    if type(raw) is list:
        raise InputError("it holds an array of Python objects, which is not read")
    data = raw.encode("latin-1") if type(raw) is str else bytes(memoryview(raw))
    if len(data) != math.prod(shape) * kind.dtype.itemsize:
        raise InputError(
            f"it holds an array {kind.dtype} {shape} of {len(data)} bytes in place of "
            f"{math.prod(shape) * kind.dtype.itemsize}"
        )
    return data


def _text(value: Any) -> str:
    """Text that Python 2 may have written as bytes."""
    return value.decode("ascii") if type(value) is bytes else str(value)
