"""Presets of back-propagation through random windows (`rat_bptt`).

The authors train for up to 60,000 epochs, stop early by the test loss and report the
best of four lengths of the students' training and of all evaluations, on the test set.
The presets take 60,000 steps, a tenth or less, students of 1000 steps, and report the
last. `tiny_end_code` has the window at the end; ImageNet is a folder of class folders
at 64 pixels.
"""

from functools import partial
from typing import Any

from jaxdd.methods.bilevel._presets import FLIP_ROTATE, smoke
from jaxdd.methods.bilevel.rat_bptt import RatBpttConfig
from jaxdd.presets.digits import DIGITS_MLP, on_digits
from jaxdd.presets.figures import measured, with_figures
from jaxdd.presets.mnist import MNIST_NET, on_mnist
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


def _paper(
    data: DataSpec,
    ipc: int,
    accuracy: float,
    *,
    depth: int = 3,
    student_batch: int = 100,
    window_repeat: int = 10,
    **settings: Any,
) -> Preset:
    """One row of the repository's scripts; students learn as the set's networks do.

    `window_repeat` is the number of real batches in an epoch, which have one window.
    """
    network = ConvNet(width=(128,) * depth)
    return Preset(
        distill=RatBpttConfig(network=network, window_repeat=window_repeat, **settings),
        data=data,
        ipc=ipc,
        steps=60_000,
        evaluate=Protocol(
            name="rat_bptt",
            network=network,
            train=Recipe(
                steps=1000,
                batch=student_batch,
                optimiser=Adam(1e-3),
                augment=FLIP_ROTATE,
            ),
        ),
        expected=(Expected("accuracy", accuracy, "AT-BPTT, table (second hand)"),),
        source="Feng, Vedantam and Kempe, ICLR 2024; README of their repository",
        hours="tens (estimate)",
        hardware="one GPU",
        scale="paper",
    )


_CIFAR10 = DataSpec("cifar10", whitening="zca_kip")
_CIFAR100 = DataSpec("cifar100", whitening="zca_kip")
_TINY = DataSpec("tinyimagenet", whitening="zca_kip")
_SLOW = Adam(3e-4)
_few = partial(_paper, inner_per_class=1, labels="learned")
_large = partial(_few, depth=4, student_batch=50, inner_classes=50, optimiser=_SLOW)

PRESETS: dict[str, Preset] = {
    "digits": on_digits(
        RatBpttConfig(
            network=DIGITS_MLP,
            inner_steps=40,
            total=200,
            window_repeat=1,
            network_optimiser="sgd",
            rate=0.05,
            momentum=0.0,
            weight_decay=0.0,
            inner_per_class=0,
            batch=640,
            augment=AugmentSpec(),
            optimiser=Adam(3e-3),
            init="noise",
        ),
        3000,
        source="a small version of the paper's recipe, with plain steps inside",
    ),
    "mnist": on_mnist(
        RatBpttConfig(
            network=MNIST_NET,
            inner_steps=20,
            total=80,
            window_repeat=1,
            rate=3e-3,
            inner_per_class=0,
            batch=256,
            augment=AugmentSpec(),
            optimiser=Adam(0.01),
            init="class_mean",
        ),
        400,
        hours="about 10 minutes",
    ),
    "cifar10_paper": _paper(_CIFAR10, 10, 0.694),
    "cifar100_paper": _few(_CIFAR100, 10, 0.475, inner_steps=100, total=300),
    "cifar100_ipc1_paper": _few(
        _CIFAR100,
        1,
        0.353,
        inner_steps=90,
        total=130,
        policy="end",
        optimiser=_SLOW,
    ),
    "tiny_paper": _large(
        _TINY, 10, 0.244, inner_steps=100, total=300, batch=1000, window_repeat=100
    ),
    "tiny_end_code": _large(
        _TINY, 10, 0.244, inner_steps=90, total=270, batch=2000, policy="end"
    ),
    "imagenet_paper": _large(
        DataSpec("folder", resize=64),
        1,
        0.108,
        inner_steps=80,
        total=280,
        batch=1500,
        policy="end",
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
