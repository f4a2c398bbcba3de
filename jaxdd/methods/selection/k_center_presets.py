"""Presets of the k-centre selection: data and protocols of `dm`, so that rows compare.

`python experiments/run.py --method k_center --preset mnist`; expected: near the random
row. With `--kernels ntk-fc-1` also as the support of a regression.
"""

import dataclasses

from jaxdd.methods.matching import dm_presets as dm
from jaxdd.methods.selection.k_center import KCenterConfig
from jaxdd.records import Preset

__all__ = ["DEFAULT", "PRESETS"]

DEFAULT = "digits"

PRESETS: dict[str, Preset] = {
    name: dataclasses.replace(preset, distill=KCenterConfig(), steps=0, expected=())
    for name, preset in dm.PRESETS.items()
}
