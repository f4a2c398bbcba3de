"""Presets of flat trajectory distillation (`ftd`).

The figures may hold a second training of the same students (see the method). Without
the average of the images, by DATM's authors: 46.0, 65.3, 73.2 % on CIFAR-10. Where the
authors do not whiten they standardise CIFAR-100 with CIFAR-10's numbers.
"""

import dataclasses

from jaxdd.methods.trajectory._presets import (
    DIGITS_EXPERTS,
    MNIST_EXPERTS,
    digits,
    mnist,
    row,
    smoke,
    smoke_experts,
)
from jaxdd.methods.trajectory.ftd import FtdConfig
from jaxdd.presets.figures import measured, with_figures
from jaxdd.records import Preset

__all__ = ["PRESETS", "SMOKE"]


def _row(
    data: str,
    ipc: int,
    student: tuple[int, int, int],
    rates: tuple[float, float, float],
    accuracy: float | None,
    *,
    alpha: float = 1.0,
    zca: bool = True,
    **settings,
) -> Preset:
    return row(
        *(FtdConfig, data, ipc, student, rates),
        accuracy=accuracy,
        source="Du et al., CVPR 2023, and their repository",
        zca=zca,
        expert={"kind": "flat", "radius": 0.01, "alpha": alpha},
        **settings,
    )


_FLAT = {"kind": "flat", "radius": 0.05, "alpha": 0.3}

PRESETS: dict[str, Preset] = {
    "digits": digits(
        FtdConfig, experts=dataclasses.replace(DIGITS_EXPERTS, **_FLAT), ema=0.99
    ),
    "mnist": mnist(
        FtdConfig, experts=dataclasses.replace(MNIST_EXPERTS, **_FLAT), ema=0.95
    ),
    "cifar10_ipc1_paper": _row(
        *("cifar10", 1, (50, 2, 2), (100.0, 1e-7, 0.01), 0.468), alpha=0.3, ema=0.9999
    ),
    "cifar10_paper": _row(
        *("cifar10", 10, (30, 2, 20), (100.0, 1e-5, 0.001), 0.666),
        alpha=0.3,
        ema=0.9995,
    ),
    "cifar10_ipc50_paper": _row(
        "cifar10", 50, (30, 2, 40), (1000.0, 1e-5, 0.01), 0.738, ema=0.999
    ),
    "cifar100_ipc1_paper": _row(
        "cifar100", 1, (40, 3, 20), (1000.0, 1e-5, 0.01), 0.252, ema=0.9995
    ),
    "cifar100_paper": _row(
        "cifar100", 10, (20, 2, 40), (1000.0, 1e-5, 0.01), 0.434, ema=0.9995
    ),
    "cifar100_ipc50_paper": _row(
        *("cifar100", 50, (80, 2, 40), (1000.0, 1e-5, 0.01), 0.507),
        batch=1000,
        ema=0.999,
    ),
    "tiny_ipc1_paper": _row(
        "tiny", 1, (30, 2, 10), (1e4, 1e-4, 0.01), 0.104, zca=False, ema=0.999
    ),
    "tiny_paper": _row(
        *("tiny", 10, (20, 2, 40), (1e4, 1e-4, 0.01), 0.245),
        zca=False,
        batch=500,
        ema=0.999,
    ),
    "imagenette_code": _row(
        *("imagenette", 1, (20, 2, 10), (1e4, 1e-4, 0.01), None),
        zca=False,
        batch=64,
        ema=0.999,
    ),
}

PRESETS = with_figures(
    PRESETS,
    digits=(measured("ftd_digits", 0.884),),
    mnist=(measured("ftd_mnist", 0.881),),
)

SMOKE = smoke(FtdConfig, experts=smoke_experts(kind="flat"), ema=0.9)
