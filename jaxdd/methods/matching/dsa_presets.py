"""Presets of gradient matching under siamese augmentation (`dsa`).

The presets without a number of images are those of 10 images per class. Their steps are
1001 networks times the matchings of each: 1, 10 and 50 at 1, 10 and 50 images per
class. The students of protocol `vico` are augmented too. Digits are not mirrored. `fyi`
learns with mirror images, with that paper's augmentation in both stages.
"""

import dataclasses

from jaxdd import augment
from jaxdd.methods.matching._presets import STEPS, Row, smoke, table
from jaxdd.methods.matching.dsa import DsaConfig
from jaxdd.presets.digits import DIGITS, DIGITS_MLP, DIGITS_STUDENT
from jaxdd.presets.figures import measured, with_figures
from jaxdd.presets.mnist import MNIST, MNIST_NET, MNIST_STUDENT
from jaxdd.records import AugmentSpec, Expected, Preset, Sgd

__all__ = ["PRESETS", "SMOKE"]

# The colours of small grey digits carry nothing.
_GEOMETRY = AugmentSpec(policy="dsa", strategy="crop_scale_rotate")

# Accuracy in % at 1, 10, 50 images per class: the authors' README.
_NUMBERS = {
    "mnist": (88.7, 97.8, 99.2),
    "fashion": (70.6, 84.6, 88.7),
    "svhn": (27.5, 79.2, 84.4),
    "cifar10": (28.8, 52.1, 60.6),
    "cifar100": (13.9, 32.3, 42.8),
}


def _paper(row: Row) -> Preset:
    return Preset(
        distill=DsaConfig(
            augment=augment.named("dsa" if row.mirrors else "dsa_digits")
        ),
        data=row.data,
        ipc=row.ipc,
        steps=STEPS[row.ipc],
        evaluate=row.protocol("vico"),
        expected=row.expected,
        source="Zhao and Bilen, ICML 2021; VICO-UoE/DatasetCondensation",
        hours=row.hours,
        hardware="one GPU",
        scale="paper",
    )


def _fyi(preset: Preset) -> Preset:
    """The same with mirror images, as Son et al. (ECCV 2024) report it."""
    spec = augment.named("fyi")
    distill = dataclasses.replace(preset.distill, augment=spec, flip=True)
    train = dataclasses.replace(preset.evaluate.train, augment=spec)
    return dataclasses.replace(
        preset,
        distill=distill,
        evaluate=dataclasses.replace(preset.evaluate, name="fyi", train=train),
        expected=(
            Expected(
                "accuracy", 0.547, "results figure of cvlab-yonsei/FYI", note="ipc 10"
            ),
        ),
        source="Son et al., ECCV 2024; cvlab-yonsei/FYI",
    )


PRESETS: dict[str, Preset] = {
    "digits": Preset(
        distill=DsaConfig(
            network=DIGITS_MLP,
            optimiser=Sgd(3e-3, 0.5),
            batch=64,
            augment=_GEOMETRY,
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
        distill=DsaConfig(network=MNIST_NET, batch=64, augment=_GEOMETRY),
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
PRESETS["cifar10_fyi_paper"] = _fyi(PRESETS["cifar10_paper"])

PRESETS = with_figures(
    PRESETS,
    digits=(measured("dsa_digits", 0.846),),
    mnist=(measured("dsa_mnist", 0.802),),
)

SMOKE = smoke(
    DsaConfig,
    optimiser=Sgd(0.003, 0.5),
    augment=AugmentSpec(policy="dsa", strategy="color"),
    matchings=1,
    network_epochs=0,
)
