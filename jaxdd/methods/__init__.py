"""One file per method: its name is the file's name, everywhere.

Adding `methods/x.py` with a `METHOD` is all it takes: the command line and the
contract tests list this folder.
"""

import importlib
import pkgutil

from jaxdd.base import InputError, Method
from jaxdd.names import nearest

__all__ = ["get", "names"]


def names() -> list[str]:
    """The names of all methods, sorted."""
    return sorted(
        entry.name
        for entry in pkgutil.iter_modules(__path__)
        if not entry.name.startswith("_")
    )


def get(name: str) -> Method:
    """The method of that name.

    Raises:
      InputError: there is none; the message suggests the nearest names.
    """
    known = names()
    if name not in known:
        hint = nearest(name, known)
        raise InputError(f"method={name!r} is unknown.{hint} Known: {', '.join(known)}")
    return importlib.import_module(f"{__name__}.{name}").METHOD
