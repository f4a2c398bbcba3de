"""Presets of addressable memories (`rtp`): `ipc` is a budget of stored numbers.

| preset | command | expected | status |
| --- | --- | --- | --- |
| digits | `python experiments/run.py --method rtp` | above as many random real images as the set decodes to, about the class means, which take the same bytes | 86.9 %, random (four images a class) 78.0, class means 87.1, one student, no result file |
| mnist | `... --method rtp --preset mnist --data.dir DIR` | above random real images of the same bytes | pending |
| cifar10_paper | `... --method rtp --preset cifar10_paper --data.dir DIR`; `--ipc 10` and `--ipc 50` | 66.4 ± 0.4, 71.2 ± 0.4, 73.6 ± 0.5 % at budgets of 1, 10, 50 images per class (unverified) | pending |
| cifar100_paper | `... --method rtp --preset cifar100_paper --data.dir DIR`; `--ipc 10` | 34.0 ± 0.4, 42.9 ± 0.7 % at 1, 10 (unverified) | pending |

The set decodes to many more images than pixels would give for the same bytes, and the
report's random row has as many real images as that: compare with methods of pixels by
the bytes of the ledger. Settings for other budgets than ipc 1 are not published.
"""  # noqa: E501

from jaxdd.methods.bilevel._presets import smoke
from jaxdd.methods.bilevel.rtp import RtpConfig
from jaxdd.presets.digits import DIGITS, DIGITS_MLP, DIGITS_STUDENT
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

SMOKE = smoke(RtpConfig, bases=4, inner_per_class=4, rate=0.1, batch=8)
