"""Complete named settings, one file per method: `<data>` and `<data>_paper|_code`.

Each file has `PRESETS` (name to `Preset`) and `DEFAULT`; its docstring gives the
command, the expected figures and their status.
"""

import importlib

from jaxdd.base import InputError
from jaxdd.names import nearest
from jaxdd.records import Preset

__all__ = ["default", "get", "pick"]


def get(method: str) -> dict[str, Preset]:
    """All presets of a method; empty for a method without a preset file."""
    try:
        return importlib.import_module(f"{__name__}.{method}").PRESETS
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{method}":
            raise
        return {}


def default(method: str) -> str:
    """The name of the preset a method runs without `--preset`; "" if it has none."""
    if not get(method):
        return ""
    return importlib.import_module(f"{__name__}.{method}").DEFAULT


def pick(method: str, name: str) -> Preset:
    """A method's preset by name.

    Raises:
      InputError: there is none; the message suggests the nearest name.
    """
    known = get(method)
    if name not in known:
        hint = nearest(name, known)
        raise InputError(
            f"preset={name!r} is unknown for method {method!r}.{hint} "
            f"Known: {', '.join(sorted(known)) or 'none'}"
        )
    return known[name]
