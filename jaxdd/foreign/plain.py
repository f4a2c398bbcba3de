"""What pickles are made of: names of globals, keys, and Python's own containers."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["PLAIN", "Placeholder", "exactly", "frozenset_of", "key", "set_of"]

_KEYS = (str, bytes, int, float, complex, type(None))


@dataclass(frozen=True)
class Placeholder:
    """A global that a pickle names: two words, nothing that runs."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


def exactly(value: Any, kind: type) -> Any:
    """The value, which must be of this very type."""
    if type(value) is not kind:
        raise TypeError(f"{type(value).__name__} in place of {kind.__name__}")
    return value


def key(value: Any) -> Any:
    """A dict key or set member; nested tuples may take forever to hash."""
    parts = value if type(value) is tuple else (value,)
    if not all(isinstance(part, _KEYS) for part in parts):
        raise TypeError(f"{type(value).__name__} as a key")
    return value


def set_of(values: Iterable[Any] = ()) -> set[Any]:
    """A set of keys."""
    return set(map(key, values))


def frozenset_of(values: Iterable[Any] = ()) -> frozenset[Any]:
    """A frozen set of keys."""
    return frozenset(map(key, values))


def _encoded(text: str, encoding: str) -> bytes:
    """How Python 3 writes bytes for Python 2."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"encoding {encoding!r}")
    return exactly(text, str).encode("latin-1")


def _bytes(*arguments: Any) -> bytes:
    """`bytes` or `bytearray`; a number as its argument would be a size."""
    if len(arguments) == 2:
        return _encoded(*arguments)
    return bytes(exactly(arguments[0], bytes)) if arguments else b""


def _complex(real: float, imaginary: float) -> complex:
    return complex(exactly(real, float), exactly(imaginary, float))


PLAIN: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("_codecs", "encode"): _encoded,
    **{
        (module, name): function
        for module in ("builtins", "__builtin__")
        for name, function in {
            "set": set_of,
            "frozenset": frozenset_of,
            "bytes": _bytes,
            "bytearray": _bytes,
            "complex": _complex,
        }.items()
    },
}
