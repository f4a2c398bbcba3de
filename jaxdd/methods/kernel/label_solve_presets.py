"""Presets of Label Solve (`label_solve`): small ones, and the notebook's."""

import dataclasses

from jaxdd.methods.kernel._presets import FC1, FC2, MNIST_14, by_kernel
from jaxdd.methods.kernel.label_solve import LabelSolveConfig
from jaxdd.presets.figures import measured, unrecorded, with_figures
from jaxdd.records import DataSpec, Expected, Preset

__all__ = ["PRESETS", "SMOKE"]

_SMALL = Preset(
    distill=LabelSolveConfig(kernel=FC2),
    data=DataSpec("digits"),
    ipc=1,
    steps=1,
    evaluate=by_kernel("krr_fc2", FC2),
    source="a small version of the paper's recipe, for two CPU cores",
    hours="seconds",
    hardware="2 CPU cores",
)

PRESETS: dict[str, Preset] = {
    "digits": _SMALL,
    "mnist": dataclasses.replace(
        _SMALL,
        data=MNIST_14,
        expected=(Expected("accuracy, krr ntk-fc-2", 0.558, "prototype", "prototype"),),
    ),
    "cifar10_fc_code": Preset(
        distill=LabelSolveConfig(kernel=FC1),
        data=DataSpec("cifar10"),
        ipc=50,
        steps=1,
        evaluate=by_kernel("krr_fc1", FC1),
        expected=(Expected("accuracy, krr ntk-fc-1", 0.4699, "kip/KIP.ipynb"),),
        source="kip/KIP.ipynb of google-research/google-research",
        hours="minutes",
        hardware="2 CPU cores",
        scale="paper",
    ),
}

PRESETS = with_figures(
    PRESETS,
    digits=(unrecorded(0.806, "accuracy, krr ntk-fc-1"),),
    mnist=(measured("label_solve_mnist", 0.571, "accuracy, krr ntk-fc-2"),),
)

SMOKE = LabelSolveConfig()
