"""Presets of the herding selection: data and protocols of `dm`, so that rows compare.

`python experiments/run.py --method herding --preset mnist`; expected: above the random
row at few images per class. With `--kernels ntk-fc-1` also as the support of a
regression.
"""

import dataclasses

from jaxdd.methods.matching import dm_presets as dm
from jaxdd.methods.selection.herding import HerdingConfig
from jaxdd.records import Preset

__all__ = ["DEFAULT", "PRESETS"]

DEFAULT = "digits"

PRESETS: dict[str, Preset] = {
    name: dataclasses.replace(preset, distill=HerdingConfig(), steps=0, expected=())
    for name, preset in dm.PRESETS.items()
}
