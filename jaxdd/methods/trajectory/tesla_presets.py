"""Presets of TESLA (`tesla`).

The settings are those of the authors' README. Their program's gradient of the images is
half of the paper's, so the images' learning rates here are half of theirs.
"""

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

_HALF = 0.5  # see the docstring
_GIVEN = {"iterations": 10_000, "source": "justincui03/tesla, README"}

PRESETS: dict[str, Preset] = {
    "digits": digits(TeslaConfig),
    "mnist": mnist(TeslaConfig),
    "cifar10_cpu": cifar10_cpu(TeslaConfig),
    "cifar10_ipc1_code": row(
        *(TeslaConfig, "cifar10", 1, (50, 2, 5), (_HALF * 1000, 1e-7, 0.01)),
        accuracy=0.485,
        **_GIVEN,
    ),
    "cifar100_ipc50_code": row(
        *(TeslaConfig, "cifar100", 50, (80, 2, 40), (_HALF * 1000, 1e-5, 0.01)),
        accuracy=0.479,
        zca=True,
        batch=125,
        **_GIVEN,
    ),
    "imagenet_code": row(
        *(TeslaConfig, "imagenet", 1, (10, 3, 10), (_HALF * 1e4, 1e-4, 0.01)),
        accuracy=0.077,
        expert={"count": 50},
        batch=100,
        labels="expert",
        **_GIVEN,
    ),
}

PRESETS = with_figures(
    PRESETS,
    digits=(measured("tesla_digits", 0.868),),
    mnist=(measured("tesla_mnist", 0.884),),
)

# One step, where the sum is the gradient, which every method is tested for.
SMOKE = smoke(TeslaConfig, inner_steps=1, epochs=1, rate=0.2, rate_optimiser=sgd(1e-3))
