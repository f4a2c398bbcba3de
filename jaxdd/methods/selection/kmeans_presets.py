"""Presets of the k-means selection: data and protocols of `dm`, so that rows compare.

`python experiments/run.py --method kmeans --preset mnist`; expected: below `dm`.
"""

import dataclasses

from jaxdd.methods.matching import dm_presets as dm
from jaxdd.methods.selection.kmeans import KmeansConfig
from jaxdd.records import Preset

__all__ = ["DEFAULT", "PRESETS"]

DEFAULT = "digits"

PRESETS: dict[str, Preset] = {
    name: dataclasses.replace(preset, distill=KmeansConfig(), steps=0, expected=())
    for name, preset in dm.PRESETS.items()
}
