"""Presets of back-propagation through random windows (`rat_bptt`).

The authors train for up to 60,000 epochs, stop early by the test loss and report the
best of four lengths of the students' training and of all evaluations, on the test set.
The presets take 60,000 steps, a tenth or less, students of 1000 steps, and report the
last. `tiny_end_code` has the window at the end; ImageNet is a folder of class folders
at 64 pixels.
"""

from typing import Any

from jaxdd.methods.bilevel._presets import smoke
from jaxdd.methods.bilevel.rat_bptt import RatBpttConfig
from jaxdd.presets.digits import DIGITS, DIGITS_MLP, DIGITS_STUDENT
from jaxdd.presets.figures import measured, with_figures
from jaxdd.presets.mnist import MNIST, MNIST_NET, MNIST_STUDENT
from jaxdd.records import (
    Adam,
    AugmentSpec,
    ConvNet,
    DataSpec,
    Expected,
    Preset,
    Protocol,
    Recipe,
)

__all__ = ["PRESETS", "SMOKE"]

_PLAIN = AugmentSpec()
_FLIP_ROTATE = AugmentSpec(policy="dsa", strategy="flip_rotate")


def _paper(
    data: DataSpec,
    expected: float,
    *,
    ipc: int,
    depth: int = 3,
    share: int = 10,
    students: int,
    hours: str = "tens (estimate)",
    **settings: Any,
) -> Preset:
    """One row of the repository's scripts; students learn as the set's networks do.

    `share` is the number of real batches in an epoch, which have the same window.
    """
    network = ConvNet(width=(128,) * depth)
    return Preset(
        distill=RatBpttConfig(network=network, share=share, **settings),
        data=data,
        ipc=ipc,
        steps=60_000,
        evaluate=Protocol(
            name="rat_bptt",
            network=network,
            train=Recipe(
                steps=1000,
                batch=students,
                optimiser=Adam(1e-3),
                augment=_FLIP_ROTATE,
            ),
        ),
        expected=(Expected("accuracy", expected, "AT-BPTT, table (second hand)"),),
        source="Feng, Vedantam and Kempe, ICLR 2024; README of their repository",
        hours=hours,
        hardware="one GPU",
        scale="paper",
    )


_CIFAR10 = DataSpec("cifar10", whitening="zca_kip")
_CIFAR100 = DataSpec("cifar100", whitening="zca_kip")
_TINY = DataSpec("tinyimagenet", whitening="zca_kip")
_SLOW = Adam(3e-4)
_FEW = {"inner_per_class": 1, "labels": "learned"}

PRESETS: dict[str, Preset] = {
    "digits": Preset(
        distill=RatBpttConfig(
            network=DIGITS_MLP,
            inner_steps=40,
            total=200,
            share=1,
            inner_optimiser="sgd",
            rate=0.05,
            momentum=0.0,
            weight_decay=0.0,
            inner_per_class=0,
            batch=640,
            augment=_PLAIN,
            optimiser=Adam(3e-3),
            init="noise",
        ),
        data=DIGITS,
        ipc=1,
        steps=3000,
        evaluate=DIGITS_STUDENT,
        source="a small version of the paper's recipe, with plain steps inside",
        hours="a minute",
        hardware="2 CPU cores",
    ),
    "mnist": Preset(
        distill=RatBpttConfig(
            network=MNIST_NET,
            inner_steps=20,
            total=80,
            share=1,
            rate=3e-3,
            inner_per_class=0,
            batch=256,
            augment=_PLAIN,
            optimiser=Adam(0.01),
            init="class_mean",
        ),
        data=MNIST,
        ipc=1,
        steps=400,
        evaluate=MNIST_STUDENT,
        source="a small version of the paper's recipe, for two CPU cores",
        hours="about 10 minutes",
        hardware="2 CPU cores",
    ),
    "cifar10_paper": _paper(_CIFAR10, 0.694, ipc=10, students=100),
    "cifar100_paper": _paper(
        *(_CIFAR100, 0.475), ipc=10, students=100, inner_steps=100, total=300, **_FEW
    ),
    "cifar100_ipc1_paper": _paper(
        *(_CIFAR100, 0.353),
        ipc=1,
        students=100,
        inner_steps=90,
        total=130,
        policy="end",
        optimiser=_SLOW,
        **_FEW,
    ),
    "tiny_paper": _paper(
        *(_TINY, 0.244),
        ipc=10,
        depth=4,
        share=100,
        students=50,
        inner_steps=100,
        total=300,
        batch=1000,
        inner_classes=50,
        optimiser=_SLOW,
        **_FEW,
    ),
    "tiny_end_code": _paper(
        *(_TINY, 0.244),
        ipc=10,
        depth=4,
        students=50,
        inner_steps=90,
        total=270,
        policy="end",
        batch=2000,
        inner_classes=50,
        optimiser=_SLOW,
        **_FEW,
    ),
    "imagenet_paper": _paper(
        *(DataSpec("folder", resize=64), 0.108),
        ipc=1,
        depth=4,
        students=50,
        inner_steps=80,
        total=280,
        policy="end",
        batch=1500,
        inner_classes=50,
        optimiser=_SLOW,
        **_FEW,
    ),
}

PRESETS = with_figures(
    PRESETS,
    digits=(
        measured("rat_bptt_digits", 0.878),
        measured("rat_bptt_digits_end", 0.912, note="window at the end"),
    ),
    mnist=(measured("rat_bptt_mnist", 0.856),),
)

SMOKE = smoke(
    RatBpttConfig,
    total=8,
    policy="fixed",
    rate=0.03,
    augment=AugmentSpec(noise=0.1),
    labels="learned",
)
