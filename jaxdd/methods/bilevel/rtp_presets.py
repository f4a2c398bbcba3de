"""Presets of addressable memories (`rtp`): `ipc` is a budget of stored numbers.

The set decodes to many more images than pixels would give for the same bytes, and the
report's random row has as many real images as that: compare with methods of pixels by
the bytes of the ledger. Settings for other budgets than ipc 1 are not published.
"""

from jaxdd.methods.bilevel._presets import smoke
from jaxdd.methods.bilevel.rtp import RtpConfig
from jaxdd.presets.digits import DIGITS, DIGITS_MLP, DIGITS_STUDENT
from jaxdd.presets.figures import unrecorded, with_figures
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
_FLIP_ROTATE = AugmentSpec(policy="dsa", strategy="flip_rotate")


def _paper(data: str, classes: int, expected: float) -> Preset:
    return Preset(
        distill=RtpConfig(
            network=_NET,
            augment=_FLIP_ROTATE,
            classes=0 if classes == 10 else 10,
        ),
        data=DataSpec(data),
        ipc=1,
        steps=50_000,
        evaluate=Protocol(
            name="rtp",
            network=_NET,
            train=Recipe(
                epochs=300,
                batch=640,
                optimiser=Sgd(0.01, 0.9),
                augment=_FLIP_ROTATE,
            ),
        ),
        expected=(Expected("accuracy", expected, "unverified"),),
        source="Deng and Russakovsky, NeurIPS 2022; run_scripts of their repository",
        hours="about 6 (estimate)",
        hardware="one GPU",
        scale="paper",
    )


PRESETS: dict[str, Preset] = {
    "digits": Preset(
        distill=RtpConfig(
            network=DIGITS_MLP,
            bases=10,
            inner_steps=100,
            rate=0.05,
            optimiser=Adam(0.02),
        ),
        data=DIGITS,
        ipc=1,
        steps=2000,
        evaluate=DIGITS_STUDENT,
        source="a small version of the paper's recipe; Adam in place of SGD outside",
        hours="a minute",
        hardware="2 CPU cores",
    ),
    "mnist": Preset(
        distill=RtpConfig(
            network=MNIST_NET,
            inner_steps=30,
            inner_per_class=8,
            batch=32,
            optimiser=Adam(0.01),
        ),
        data=MNIST,
        ipc=1,
        steps=300,
        evaluate=MNIST_STUDENT,
        source="a small version of the paper's recipe, for two CPU cores",
        hours="about 20 minutes (estimate)",
        hardware="2 CPU cores",
    ),
    "cifar10_paper": _paper("cifar10", 10, 0.664),
    "cifar100_paper": _paper("cifar100", 100, 0.34),
}

PRESETS = with_figures(
    PRESETS,
    digits=(unrecorded(0.869, source="one student"),),
    cifar10_paper=(
        Expected("accuracy", 0.712, "unverified", note="ipc 10"),
        Expected("accuracy", 0.736, "unverified", note="ipc 50"),
    ),
    cifar100_paper=(Expected("accuracy", 0.429, "unverified", note="ipc 10"),),
)

SMOKE = smoke(RtpConfig, bases=4, inner_per_class=4, rate=0.1, batch=8)
