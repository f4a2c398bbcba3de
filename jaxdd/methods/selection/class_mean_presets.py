"""Presets of the class means: the data and protocols of `dm`, so that rows compare.

`python experiments/run.py --method class_mean --preset mnist`; expected: below `dm`.
"""

import dataclasses

from jaxdd.methods.matching import dm_presets as dm
from jaxdd.methods.selection.class_mean import ClassMeanConfig
from jaxdd.records import Preset

__all__ = ["DEFAULT", "PRESETS"]

DEFAULT = "digits"

PRESETS: dict[str, Preset] = {
    name: dataclasses.replace(
        preset, distill=ClassMeanConfig(), steps=0, ipc=1, expected=()
    )
    for name, preset in dm.PRESETS.items()
}
