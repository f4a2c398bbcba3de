"""Complete named settings: `<data>` and `<data>_paper|_code`, looked up by method.

Presets stand beside their method in `jaxdd.methods`, in a file with `PRESETS` (name to
`Preset`) and `SMOKE` (settings that run in seconds on tiny images). What a method's own
file lacks, or all of it, comes from its family's `_presets`: `presets(method)` and
`smoke(config)`. What several families share stands here: protocols, teachers, settings
of a data set.
"""

import importlib
from types import ModuleType
from typing import Any

from jaxdd import methods
from jaxdd.errors import one_of
from jaxdd.records import Preset

__all__ = ["default", "get", "pick", "smoke"]


def _files_of(method: str) -> tuple[ModuleType | None, ModuleType]:
    """The file with a method's own presets, if it has one, and its family's."""
    family = f"jaxdd.methods.{methods.family_of(method)}"
    shared = importlib.import_module(f"{family}._presets")
    name = f"{family}.{method}_presets"
    try:
        return importlib.import_module(name), shared
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        return None, shared


def get(method: str) -> dict[str, Preset]:
    """All presets of a method; those of its family for a method without its own.

    Raises:
      InputError: there is no such method.
    """
    own, family = _files_of(method)
    known = getattr(own, "PRESETS", None)
    return family.presets(methods.get(method)) if known is None else known


def default(method: str) -> str:
    """The name of the preset a method runs without `--preset`: `digits`, or its first.

    Raises:
      InputError: there is no such method.
    """
    known = get(method)
    return "digits" if "digits" in known else next(iter(known))


def smoke(method: str) -> Any:
    """A method's settings that run in seconds on tiny images.

    Raises:
      InputError: there is no such method.
    """
    own, family = _files_of(method)
    settings = getattr(own, "SMOKE", None)
    return family.smoke(methods.get(method).config) if settings is None else settings


def pick(method: str, name: str) -> Preset:
    """A method's preset by name.

    Raises:
      InputError: there is no such method, or no such preset; the message suggests the
        nearest name.
    """
    known = get(method)
    one_of(f"preset (of method {method!r})", name, sorted(known))
    return known[name]
