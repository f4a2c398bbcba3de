"""Presets of Label Solve (`label_solve`).

| preset | command | expected | status |
| --- | --- | --- | --- |
| digits | `python experiments/run.py --method label_solve` | above the random row by kernel regression; seconds | 80.6 ± 1.5 %, class means 89.6, random 66.0 ± 4.1, 3 sets, no result file |
| mnist | `... --method label_solve --preset mnist --data.dir DIR --seeds 5` | 55.8 ± 4 % by kernel regression, random 39.5 ± 1.2; at `--ipc 10` 85.3, random 72.2 | 57.1 ± 2.0 %, class means 72.7, random 40.6 ± 5.8, 5 sets, experiments/results/label_solve_mnist.json |
| cifar10_fc_code | `... --preset cifar10_fc_code --data.dir DIR` | 47.0 % by kernel regression with 50 images per class, random 32.1 (kip/KIP.ipynb) | pending |
"""  # noqa: E501

import dataclasses

from jaxdd.methods.kernel._presets import FC1, FC2, MNIST_14, by_kernel
from jaxdd.methods.kernel.label_solve import LabelSolveConfig
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
    ),
}

SMOKE = LabelSolveConfig()
