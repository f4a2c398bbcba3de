"""Presets of the class means: those of every selection at one image per class."""

import dataclasses

from jaxdd.methods.selection._presets import presets
from jaxdd.methods.selection.class_mean import METHOD
from jaxdd.records import Preset

__all__ = ["PRESETS"]

PRESETS: dict[str, Preset] = {
    name: dataclasses.replace(preset, ipc=1) for name, preset in presets(METHOD).items()
}
