"""jaxdd: dataset distillation in JAX.

small = jaxdd.distill(images, labels, method="dm", ipc=10)
jaxdd.save(small, "small"); small = jaxdd.load("small")
report = jaxdd.evaluate(small, test=(images, labels))

Names are imported when they are first used, so that `import jaxdd` is quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxdd import methods, networks, presets
    from jaxdd.api import distill, evaluate, load, save
    from jaxdd.base import (
        Corpus,
        Dataset,
        Distilled,
        Distiller,
        Method,
        Network,
        State,
        Synthetic,
        Task,
    )
    from jaxdd.errors import InputError

__version__ = "0.1.0"

__all__ = [
    "Corpus",
    "Dataset",
    "Distilled",
    "Distiller",
    "InputError",
    "Method",
    "Network",
    "State",
    "Synthetic",
    "Task",
    "distill",
    "evaluate",
    "load",
    "methods",
    "networks",
    "presets",
    "save",
]

_HOMES = {
    "jaxdd.api": {"distill", "evaluate", "load", "save"},
    "jaxdd.errors": {"InputError"},
}
_PACKAGES = {"methods", "networks", "presets"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'jaxdd' has no attribute {name!r}")
    if name in _PACKAGES:
        return importlib.import_module(f"jaxdd.{name}")
    homes = [home for home, names in _HOMES.items() if name in names]
    return getattr(importlib.import_module([*homes, "jaxdd.base"][0]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
