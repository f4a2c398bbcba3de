"""Presets of difficulty-aligned trajectory matching (`datm`).

The settings are those of the authors' configuration files, the figures second hand (two
tables agree). The students of the presets learn from the logits. On digits the set
stays below that of `mtt`, also for other rates of the labels, ranges of starts and
students at the learned rate; `--distill.labels hard` reaches it.
"""

import dataclasses

from jaxdd.methods.trajectory._presets import (
    DIGITS_EXPERTS,
    MNIST_EXPERTS,
    digits,
    mnist,
    row,
    sgd,
    smoke,
    smoke_experts,
    soft,
)
from jaxdd.methods.trajectory.datm import DatmConfig
from jaxdd.presets.digits import DIGITS_STUDENT
from jaxdd.presets.figures import measured, with_figures
from jaxdd.presets.mnist import MNIST_STUDENT
from jaxdd.records import Preset

__all__ = ["PRESETS", "SMOKE"]


def _row(
    data: str,
    ipc: int,
    student: tuple[int, int, int],
    rates: tuple[float, float],
    accuracy: float,
    *,
    labels_rate: float = 10.0,
    ramp: tuple[int, int] = (0, 0),
    **settings,
) -> Preset:
    """`ramp` is T0 and E; without it starts have their whole range throughout."""
    return row(
        *(DatmConfig, data, ipc, student, (*rates, 0.01)),
        accuracy=accuracy,
        source="NUS-HPC-AI-Lab/DATM, configurations",
        zca=True,
        iterations=10_000,
        expert={
            "epochs": 100,
            "kind": "flat",
            "radius": 0.01,
            "alpha": 0.3 if data == "cifar10" else 1.0,
        },
        protocol="datm",
        label_optimiser=sgd(labels_rate, 0.9),
        ramp_from=ramp[0],
        ramp_steps=ramp[1],
        **settings,
    )


_FLAT = {"kind": "flat", "radius": 0.05, "alpha": 0.3}

PRESETS: dict[str, Preset] = {
    "digits": digits(
        DatmConfig,
        evaluate=soft(DIGITS_STUDENT),
        experts=dataclasses.replace(DIGITS_EXPERTS, **_FLAT),
        label_optimiser=sgd(1.0, 0.9),
        ramp_from=4,
        ramp_steps=500,
    ),
    "mnist": mnist(
        DatmConfig,
        evaluate=soft(MNIST_STUDENT),
        experts=dataclasses.replace(MNIST_EXPERTS, **_FLAT),
        label_optimiser=sgd(1.0, 0.9),
        ramp_from=1,
        ramp_steps=100,
    ),
    "cifar10_ipc1_code": _row(
        *("cifar10", 1, (80, 2, 4), (100.0, 1e-7), 0.469),
        labels_rate=5.0,
        threshold=1.1,
    ),
    "cifar10_code": _row(
        *("cifar10", 10, (80, 2, 20), (100.0, 1e-5), 0.668),
        labels_rate=2.0,
        ramp=(10, 1000),
    ),
    "cifar10_ipc50_code": _row(
        *("cifar10", 50, (80, 2, 40), (1000.0, 1e-5), 0.761),
        labels_rate=2.0,
        ramp=(20, 2000),
    ),
    "cifar10_ipc500_code": _row(
        "cifar10", 500, (40, 2, 60), (50.0, 1e-5), 0.835, first=40, batch=1000
    ),
    "cifar10_ipc1000_code": _row(
        "cifar10", 1000, (100, 2, 60), (50.0, 1e-5), 0.855, first=40, batch=1000
    ),
    "cifar100_ipc1_code": _row(
        "cifar100", 1, (40, 3, 20), (1000.0, 1e-5), 0.279, ramp=(10, 1000)
    ),
    "cifar100_code": _row(
        *("cifar100", 10, (80, 2, 50), (1000.0, 1e-5), 0.472),
        ramp=(30, 2000),
        batch=1000,
    ),
    "cifar100_ipc50_code": _row(
        *("cifar100", 50, (80, 2, 70), (1000.0, 1e-5), 0.550),
        first=20,
        batch=1000,
        init="real",
        labels="first",
    ),
    "cifar100_ipc100_code": _row(
        "cifar100", 100, (80, 2, 70), (50.0, 1e-5), 0.575, first=30, batch=1000
    ),
    "tiny_ipc1_code": _row(
        "tiny", 1, (40, 2, 20), (1e4, 1e-4), 0.171, ramp=(15, 2000), batch=200
    ),
    "tiny_code": _row(
        "tiny", 10, (40, 2, 50), (100.0, 1e-4), 0.311, first=10, batch=500
    ),
    "tiny_ipc50_code": _row(
        "tiny", 50, (20, 2, 70), (100.0, 1e-4), 0.397, first=40, batch=1000
    ),
}

PRESETS = with_figures(
    PRESETS,
    digits=(measured("datm_digits", 0.853),),
    mnist=(measured("datm_mnist", 0.823),),
)

SMOKE = smoke(
    DatmConfig,
    experts=smoke_experts(16, 0.2, epochs=8, kind="flat"),
    last=4,
    label_optimiser=sgd(0.5, 0.9),
    ramp_from=2,
    ramp_steps=10,
    threshold=1.5,
)
