"""Presets of back-propagation through a long training with momentum (`bptt`).

The authors' figures are the best over evaluations on the test set of up to 500,000
outer steps; the presets take 50,000 and report the last. The rates of `digits` are the
best of three pairs by its own figures.
"""

from jaxdd.methods.bilevel._presets import smoke
from jaxdd.methods.bilevel.bptt import BpttConfig
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
    Sgd,
)

__all__ = ["PRESETS", "SMOKE"]

_NET = ConvNet(width=(128, 128, 128))
_STUDENT = Protocol(
    name="rtp",
    network=_NET,
    train=Recipe(
        epochs=300,
        batch=640,
        optimiser=Sgd(0.01, 0.9),
        augment=AugmentSpec(policy="dsa", strategy="flip_rotate"),
    ),
)
_SOURCE = "Deng and Russakovsky, NeurIPS 2022; run_scripts of their repository"


def _digits(steps: int) -> Preset:
    return Preset(
        distill=BpttConfig(
            network=DIGITS_MLP,
            inner_steps=steps,
            rate=0.05,
            optimiser=Adam(0.01),
            init="noise",
        ),
        data=DIGITS,
        ipc=1,
        steps=1500,
        evaluate=DIGITS_STUDENT,
        source="the paper's recipe at the students' rate; Adam in place of SGD outside",
        hours="a minute",
        hardware="2 CPU cores",
    )


def _paper(data: str, classes: int, expected: float) -> Preset:
    return Preset(
        distill=BpttConfig(
            network=_NET,
            augment=AugmentSpec(policy="dsa", strategy="flip_rotate"),
            classes=0 if classes == 10 else 10,
        ),
        data=DataSpec(data, whitening="zca_kip"),
        ipc=1,
        steps=50_000,
        evaluate=_STUDENT,
        expected=(Expected("accuracy", expected, "AT-BPTT, table (second hand)"),),
        source=_SOURCE,
        hours="about 3 at ipc 10 (estimate)",
        hardware="one GPU",
        scale="paper",
    )


PRESETS: dict[str, Preset] = {
    "digits": _digits(200),
    "digits_short": _digits(60),
    "mnist": Preset(
        distill=BpttConfig(
            network=MNIST_NET,
            inner_steps=60,
            batch=32,
            optimiser=Adam(0.01),
            init="class_mean",
        ),
        data=MNIST,
        ipc=1,
        steps=300,
        evaluate=MNIST_STUDENT,
        source="a small version of the paper's recipe, for two CPU cores",
        hours="about 10 minutes",
        hardware="2 CPU cores",
    ),
    "cifar10_paper": _paper("cifar10", 10, 0.491),
    "cifar100_paper": _paper("cifar100", 100, 0.213),
}

PRESETS = with_figures(
    PRESETS,
    digits=(measured("bptt_digits", 0.911),),
    digits_short=(measured("bptt_digits_60", 0.914),),
    mnist=(measured("bptt_mnist", 0.889),),
    cifar10_paper=(
        Expected("accuracy", 0.624, "AT-BPTT, table (second hand)", note="ipc 10"),
        Expected("accuracy", 0.705, "AT-BPTT, table (second hand)", note="ipc 50"),
    ),
    cifar100_paper=(
        Expected("accuracy", 0.347, "AT-BPTT, table (second hand)", note="ipc 10"),
    ),
)

SMOKE = smoke(BpttConfig, rate=0.1, batch=8, classes=3, augment=AugmentSpec(noise=0.1))
