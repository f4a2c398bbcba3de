"""Presets of TESLA (`tesla`).

The settings are those of the authors' README. Their program's gradient of the images is
half of the paper's, so the images' learning rates here are half of theirs.
"""

from functools import partial

from jaxdd.methods.trajectory._presets import (
    cifar10_cpu,
    digits,
    mnist,
    row,
    sgd,
    smoke,
)
from jaxdd.methods.trajectory.tesla import TeslaConfig
from jaxdd.presets.figures import measured, with_figures
from jaxdd.records import Preset

__all__ = ["PRESETS", "SMOKE"]

_row = partial(row, TeslaConfig, source="justincui03/tesla, README", iterations=10_000)
_HALF = 0.5  # see the docstring

PRESETS: dict[str, Preset] = {
    "digits": digits(TeslaConfig),
    "mnist": mnist(TeslaConfig),
    "cifar10_cpu": cifar10_cpu(TeslaConfig),
    "cifar10_ipc1_code": _row(
        "cifar10",
        1,
        accuracy=0.485,
        inner_steps=50,
        last=5,
        optimiser=sgd(_HALF * 1000),
        rate_optimiser=sgd(1e-7),
    ),
    "cifar100_ipc50_code": _row(
        "cifar100",
        50,
        accuracy=0.479,
        zca=True,
        inner_steps=80,
        last=40,
        student_batch=125,
        optimiser=sgd(_HALF * 1000),
    ),
    "imagenet_code": _row(
        "imagenet",
        1,
        accuracy=0.077,
        expert={"count": 50},
        inner_steps=10,
        expert_epochs=3,
        last=10,
        student_batch=100,
        optimiser=sgd(_HALF * 1e4),
        rate_optimiser=sgd(1e-4),
        labels="expert",
    ),
}

PRESETS = with_figures(
    PRESETS,
    digits=(measured("tesla_digits", 0.868),),
    mnist=(measured("tesla_mnist", 0.884),),
)

# One step, where the sum is the gradient, which every method is tested for.
SMOKE = smoke(
    TeslaConfig,
    inner_steps=1,
    expert_epochs=1,
    rate=0.2,
    rate_optimiser=sgd(1e-3),
)
