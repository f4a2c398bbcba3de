"""Presets of every selection: the data and protocols of `dm`, so that rows compare.

`python experiments/run.py --method random --preset mnist` and likewise for the others;
with `--kernels ntk-fc-1` they are also measured as the support of a regression.
"""

import dataclasses
from typing import Any

from jaxdd.base import Method
from jaxdd.methods.matching import dm_presets as dm
from jaxdd.records import Preset

__all__ = ["presets", "smoke"]


def presets(method: Method) -> dict[str, Preset]:
    """The presets of `dm` with a selection's default settings in place of its own."""
    return {
        name: dataclasses.replace(preset, distill=method.config(), steps=0, expected=())
        for name, preset in dm.PRESETS.items()
    }


def smoke(config: type, **changes: Any) -> Any:
    """The settings themselves: a selection of tiny data takes no time."""
    return config(**changes)
