"""Complete named settings: `<data>` and `<data>_paper|_code`, looked up by method.

Presets stand beside their method in `jaxdd.methods`, in a file with `PRESETS` (name to
`Preset`) and `DEFAULT`. What several families share stands here: protocols, teachers,
settings of a data set.
"""

import importlib
from types import ModuleType

from jaxdd import methods
from jaxdd.errors import InputError, nearest
from jaxdd.records import Preset

__all__ = ["default", "get", "pick"]


def _file_of(method: str) -> ModuleType | None:
    """The file with a method's presets, if it has one."""
    name = f"jaxdd.methods.{methods.family_of(method)}.{method}_presets"
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None


def get(method: str) -> dict[str, Preset]:
    """All presets of a method; empty for a method without a preset file.

    Raises:
      InputError: there is no such method.
    """
    there = _file_of(method)
    return {} if there is None else there.PRESETS


def default(method: str) -> str:
    """The name of the preset a method runs without `--preset`; "" if it has none.

    Raises:
      InputError: there is no such method.
    """
    there = _file_of(method)
    return "" if there is None else there.DEFAULT


def pick(method: str, name: str) -> Preset:
    """A method's preset by name.

    Raises:
      InputError: there is no such method, or no such preset; the message suggests the
        nearest name.
    """
    known = get(method)
    if name not in known:
        hint = nearest(name, known)
        raise InputError(
            f"preset={name!r} is unknown for method {method!r}.{hint} "
            f"Known: {', '.join(sorted(known)) or 'none'}"
        )
    return known[name]
