"""Rooms of methods: a folder a family, a file a method, its presets beside it.

A method's name is its file's name, everywhere, and unique over all families. Adding
`methods/<family>/x.py` with a `METHOD` is all it takes: the command line and the
contract tests list these folders. Files that begin with `_` belong to the family, those
that end in `_presets` hold settings (`jaxdd.presets`).
"""

import importlib
import pkgutil
from functools import lru_cache
from types import MappingProxyType, ModuleType

from jaxdd.base import Method
from jaxdd.errors import one_of

__all__ = ["about", "describe", "families", "family_of", "get", "names"]


@lru_cache
def families() -> MappingProxyType[str, tuple[str, ...]]:
    """The names of the methods of each family, both sorted."""
    rooms = [entry.name for entry in pkgutil.iter_modules(__path__) if entry.ispkg]
    return MappingProxyType({room: _methods_of(room) for room in sorted(rooms)})


def _methods_of(family: str) -> tuple[str, ...]:
    folder = importlib.import_module(f"{__name__}.{family}").__path__
    found = [entry.name for entry in pkgutil.iter_modules(folder)]
    return tuple(sorted(n for n in found if n[0] != "_" and not _holds_presets(n)))


def _holds_presets(name: str) -> bool:
    return name.endswith("_presets")


def describe(family: str) -> str:
    """What the methods of a family do, in a sentence."""
    return (importlib.import_module(f"{__name__}.{family}").__doc__ or "").strip()


def names() -> list[str]:
    """The names of all methods, sorted."""
    return sorted(name for members in families().values() for name in members)


def family_of(name: str) -> str:
    """The family of a method.

    Raises:
      InputError: there is no such method; the message suggests the nearest name.
    """
    one_of("method", name, names())
    return next(family for family, room in families().items() if name in room)


def get(name: str) -> Method:
    """The method of that name.

    Raises:
      InputError: there is none; the message suggests the nearest name.
    """
    return _file_of(name).METHOD


def about(name: str) -> str:
    """What a method's file says about it: objective, reference, parts, differences.

    Raises:
      InputError: there is no such method; the message suggests the nearest name.
    """
    return (_file_of(name).__doc__ or "").strip()


def _file_of(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{family_of(name)}.{name}")
