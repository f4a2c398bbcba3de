"""Presets of TESLA (`tesla`).

| preset | command | expected | status |
| --- | --- | --- | --- |
| digits | `python experiments/run.py --method tesla --students 10` | above random + 15 points; within noise of `mtt` | 86.8 ± 1.3 %, class means 85.5 ± 2.1, random 60.2 ± 4.6, 10 students of one set, experiments/results/tesla_digits.json |
| mnist | `... --method tesla --preset mnist --data.dir DIR` | not below the class means by a point under the same student | 88.4 ± 0.8 %, class means 81.1 ± 0.6, random 50.9 ± 6.7, 3 students of one set, experiments/results/tesla_mnist.json |
| cifar10_cpu | `... --method tesla --preset cifar10_cpu --data.dir DIR --seeds 3` | beside `mtt` at as many steps | pending: never run to its end |
| cifar10_ipc1_code | `... --method tesla --preset cifar10_ipc1_code --data.dir DIR` | 48.5 ± 0.8 % | pending |
| cifar100_ipc50_code | as above | 47.9 ± 0.3 % | pending |
| imagenet_code | ImageNet-1K, a folder of class folders, at 64 pixels, one image per class; assigned labels | 7.7 ± 0.2 % (unverified) | pending |

The settings are those of the authors' README. Their program's gradient of the images is
half of the paper's, so the images' learning rates here are half of theirs.
"""  # noqa: E501

from jaxdd.methods.trajectory._presets import (
    cifar10_cpu,
    digits,
    mnist,
    row,
    sgd,
    smoke,
)
from jaxdd.methods.trajectory.tesla import TeslaConfig
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

# One step, where the sum is the gradient, which every method is tested for.
SMOKE = smoke(TeslaConfig, inner_steps=1, epochs=1, rate=0.2, rate_optimiser=sgd(1e-3))
