"""Presets of inducing images (`sgpr`), for which no paper has figures.

The regression that judges a set has the ridge of the bound, since the targets are those
that reproduce its predictions.
"""

import dataclasses

from jaxdd.methods.kernel._presets import MNIST_14, by_kernel, smoke
from jaxdd.methods.kernel.sgpr import SgprConfig
from jaxdd.presets.figures import unrecorded, with_figures
from jaxdd.records import (
    DataSpec,
    Fc,
    Preset,
    WideKernel,
)

__all__ = ["PRESETS", "SMOKE"]

_NNGP = WideKernel("nngp", Fc(2))
_DIGITS = Preset(
    distill=SgprConfig(kernel=_NNGP),
    data=DataSpec("digits"),
    ipc=1,
    steps=300,
    evaluate=by_kernel("krr_nngp2", _NNGP, ridge=1e-4),
    source="Titsias, AISTATS 2009, on images; data and steps of kip's presets",
    hours="seconds",
    hardware="2 CPU cores",
)

PRESETS: dict[str, Preset] = {
    "digits": _DIGITS,
    "mnist": dataclasses.replace(_DIGITS, data=MNIST_14, hours="under a minute"),
}

PRESETS = with_figures(
    PRESETS,
    digits=(unrecorded(0.853, "accuracy, krr"),),
)

SMOKE = smoke(SgprConfig)
