"""Presets of difficulty-aligned trajectory matching (`datm`).

The settings are those of the authors' configuration files, the figures second hand (two
tables agree). The students of the presets learn from the logits. On digits the set
stays below that of `mtt`, also for other rates of the labels, ranges of starts and
students at the learned rate; `--distill.labels class` reaches it.
"""

import dataclasses
from functools import partial

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

_FLAT = {"kind": "flat", "radius": 0.05, "alpha": 0.3}
_row = partial(
    row,
    DatmConfig,
    source="NUS-HPC-AI-Lab/DATM, configurations",
    zca=True,
    iterations=10_000,
    protocol="datm",
    inner_steps=80,
    label_optimiser=sgd(10.0, 0.9),
    # Without a ramp starts have their whole range throughout.
    ramp_from=0,
    ramp_steps=0,
)
_cifar10, _cifar100, _tiny = (
    partial(
        _row,
        data,
        expert={"epochs": 100, "kind": "flat", "radius": 0.01, "alpha": alpha},
        rate_optimiser=sgd(learned),
    )
    for data, alpha, learned in (
        ("cifar10", 0.3, 1e-5),
        ("cifar100", 1.0, 1e-5),
        ("tiny", 1.0, 1e-4),
    )
)

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
    "cifar10_ipc1_code": _cifar10(
        1,
        accuracy=0.469,
        last=4,
        optimiser=sgd(100.0),
        rate_optimiser=sgd(1e-7),
        label_optimiser=sgd(5.0, 0.9),
        threshold=1.1,
    ),
    "cifar10_code": _cifar10(
        10,
        accuracy=0.668,
        last=20,
        optimiser=sgd(100.0),
        label_optimiser=sgd(2.0, 0.9),
        ramp_from=10,
        ramp_steps=1000,
    ),
    "cifar10_ipc50_code": _cifar10(
        50,
        accuracy=0.761,
        last=40,
        label_optimiser=sgd(2.0, 0.9),
        ramp_from=20,
        ramp_steps=2000,
    ),
    "cifar10_ipc500_code": _cifar10(
        500,
        accuracy=0.835,
        inner_steps=40,
        first=40,
        last=60,
        student_batch=1000,
        optimiser=sgd(50.0),
    ),
    "cifar10_ipc1000_code": _cifar10(
        1000,
        accuracy=0.855,
        inner_steps=100,
        first=40,
        last=60,
        student_batch=1000,
        optimiser=sgd(50.0),
    ),
    "cifar100_ipc1_code": _cifar100(
        1,
        accuracy=0.279,
        inner_steps=40,
        expert_epochs=3,
        last=20,
        ramp_from=10,
        ramp_steps=1000,
    ),
    "cifar100_code": _cifar100(
        10,
        accuracy=0.472,
        last=50,
        student_batch=1000,
        ramp_from=30,
        ramp_steps=2000,
    ),
    "cifar100_ipc50_code": _cifar100(
        50,
        accuracy=0.550,
        first=20,
        last=70,
        student_batch=1000,
        init="real",
        labels="first",
    ),
    "cifar100_ipc100_code": _cifar100(
        100,
        accuracy=0.575,
        first=30,
        last=70,
        student_batch=1000,
        optimiser=sgd(50.0),
    ),
    "tiny_ipc1_code": _tiny(
        1,
        accuracy=0.171,
        inner_steps=40,
        last=20,
        student_batch=200,
        optimiser=sgd(1e4),
        ramp_from=15,
        ramp_steps=2000,
    ),
    "tiny_code": _tiny(
        10,
        accuracy=0.311,
        inner_steps=40,
        first=10,
        last=50,
        student_batch=500,
        optimiser=sgd(100.0),
    ),
    "tiny_ipc50_code": _tiny(
        50,
        accuracy=0.397,
        first=40,
        inner_steps=20,
        last=70,
        student_batch=1000,
        optimiser=sgd(100.0),
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
