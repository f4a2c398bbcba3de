"""Presets of gradient matching (`dc`): small ones, and the authors' for each data set.

The presets without a number of images are those of 10 images per class. Their steps are
1001 networks times the matchings of each: 1, 10 and 50 at 1, 10 and 50 images per
class. The students of protocol `dc` are not augmented, but for MNIST.
"""

from jaxdd.methods.matching._presets import STEPS, Row, smoke, table
from jaxdd.methods.matching.dc import DcConfig
from jaxdd.presets.digits import DIGITS, DIGITS_MLP, DIGITS_STUDENT
from jaxdd.presets.figures import measured, with_figures
from jaxdd.presets.mnist import MNIST, MNIST_NET, MNIST_STUDENT
from jaxdd.records import Preset, Sgd

__all__ = ["PRESETS", "SMOKE"]

# Accuracy in % at 1, 10, 50 images per class: the authors' README.
_NUMBERS = {
    "mnist": (91.7, 97.4, 98.8),
    "fashion": (70.5, 82.3, 83.6),
    "svhn": (31.2, 76.1, 82.3),
    "cifar10": (28.3, 44.9, 53.9),
    "cifar100": (12.8, 25.2, None),
}


def _paper(row: Row) -> Preset:
    return Preset(
        distill=DcConfig(),
        data=row.data,
        ipc=row.ipc,
        steps=STEPS[row.ipc],
        evaluate=row.protocol("dc"),
        expected=row.expected,
        source="Zhao, Mopuri and Bilen, ICLR 2021; VICO-UoE/DatasetCondensation",
        hours=row.hours,
        hardware="one GPU",
        scale="paper",
    )


PRESETS: dict[str, Preset] = {
    "digits": Preset(
        distill=DcConfig(
            network=DIGITS_MLP,
            optimiser=Sgd(3e-3, 0.5),
            batch=64,
            init="real",
        ),
        data=DIGITS,
        ipc=1,
        steps=1500,
        evaluate=DIGITS_STUDENT,
        source="a small version of the paper's recipe; at a rate of 0.03 it diverges",
        hours="a minute",
        hardware="2 CPU cores",
    ),
    "mnist": Preset(
        distill=DcConfig(network=MNIST_NET, batch=64, init="real"),
        data=MNIST,
        ipc=1,
        steps=200,
        evaluate=MNIST_STUDENT,
        source="a small version of the paper's recipe, for two CPU cores",
        hours="a few minutes",
        hardware="2 CPU cores",
    ),
    **table(_NUMBERS, _paper),
}

PRESETS = with_figures(
    PRESETS,
    digits=(measured("dc_digits", 0.848),),
    mnist=(measured("dc_mnist", 0.807),),
)

SMOKE = smoke(DcConfig, matchings=2, network_epochs=1)
