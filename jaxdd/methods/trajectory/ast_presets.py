"""Presets of alignment with smooth experts (`ast`).

The settings are those of the authors' scripts and README; `digits` is the best of four
by its own figures. The accuracies of the paper are not known here, and their protocol
reports the best test accuracy along a student's training; students here follow MTT's.
"""

import dataclasses
from functools import partial

from jaxdd.methods.trajectory._presets import (
    DIGITS_EXPERTS,
    MNIST_EXPERTS,
    digits,
    experts,
    mnist,
    row,
    sgd,
    smoke,
    smoke_experts,
)
from jaxdd.methods.trajectory.ast import EXPERT_OPTIMISER, AstConfig
from jaxdd.presets.figures import measured, with_figures
from jaxdd.records import ConvNet, Preset, Recipe, Sgd

__all__ = ["PRESETS", "SMOKE"]

_row = partial(
    row,
    AstConfig,
    source="shenjiyuan123/AST-Alignment-with-Smooth-Expert, scripts",
    expert={
        "kind": "smooth",
        "recipe": dataclasses.replace(experts(3).recipe, optimiser=EXPERT_OPTIMISER),
    },
)


def _recipe(rate: float) -> Recipe:
    return Recipe(batch=64, optimiser=Sgd(rate, 0.9, 1e-3))


PRESETS: dict[str, Preset] = {
    "digits": digits(
        AstConfig,
        experts=dataclasses.replace(
            DIGITS_EXPERTS, kind="smooth", damped_epochs=5, recipe=_recipe(0.01)
        ),
        optimiser=sgd(1.0),
        rate=0.005,
        rate_optimiser=sgd(1e-6),
    ),
    "mnist": mnist(
        AstConfig,
        experts=dataclasses.replace(
            MNIST_EXPERTS, kind="smooth", damped_epochs=1, recipe=_recipe(0.003)
        ),
        expert_epochs=2,
        rate=0.01,
        rate_optimiser=sgd(1e-5),
    ),
    "cifar10_code": _row(
        "cifar10",
        10,
        zca=True,
        inner_steps=30,
        last=20,
        optimiser=sgd(100.0),
        rate_optimiser=sgd(1e-6),
        init="real",
        balance=True,
    ),
    "cifar100_ipc1_code": _row("cifar100", 1, expert_epochs=3, last=20, balance=True),
    "cifar100_code": _row("cifar100", 10, last=30, student_batch=128),
    "cifar100_ipc50_code": _row(
        "cifar100",
        50,
        inner_steps=80,
        last=40,
        student_batch=700,
        middle="off",
        perturb=0.0,
    ),
    "tiny_ipc1_code": _row(
        "tiny",
        1,
        inner_steps=10,
        last=10,
        optimiser=sgd(1e4),
        rate_optimiser=sgd(1e-4),
        init="real",
    ),
}

PRESETS = with_figures(
    PRESETS,
    digits=(measured("ast_digits", 0.888),),
    mnist=(measured("ast_mnist", 0.876),),
)

SMOKE = smoke(
    AstConfig,
    experts=smoke_experts(
        network=ConvNet(width=(4,), norm="none"),
        recipe=Recipe(batch=8, optimiser=Sgd(0.05, 0.9)),
        kind="smooth",
        damped_epochs=2,
    ),
    rate=0.02,
    balance=True,
)
