"""Presets of FRePo (`frepo`).

The settings are those of yongchao97/FRePo; ImageNet is a folder of its class folders at
64 pixels, CUB-200 class folders at 32, Imagenette and Imagewoof at 128. At 128 pixels
its data is whitened by a covariance of one sub-lattice of every other pixel, here
channels are standardised. Published are accuracies of a ConvNet without normalisation.
`digits`, `mnist` and `mnist28` are small versions for two CPU cores.
"""

import dataclasses
from typing import Any

from jaxdd.methods.kernel._presets import MNIST_16, SMALL_NET, small, smoke
from jaxdd.methods.kernel.frepo import FrepoConfig
from jaxdd.presets import protocols
from jaxdd.presets.figures import measured, unrecorded, with_figures
from jaxdd.records import (
    Adam,
    BatchNorm,
    ConvNet,
    DataSpec,
    Decay,
    Expected,
    Lamb,
    Preset,
)

__all__ = ["DATA", "PRESETS", "SMOKE"]

_SMALL = small(
    FrepoConfig(
        network=SMALL_NET,
        pool=4,
        network_optimiser=Adam(9e-4),
        optimiser=Lamb(3e-3, schedule=Decay("cosine", 0.1)),
        batch=256,
        mirror=False,
    )
)
_MNIST = dataclasses.replace(
    _SMALL,
    data=MNIST_16,
    expected=(Expected("accuracy", 0.614, "prototype; ± 0.036", "prototype"),),
)
_MNIST28 = dataclasses.replace(
    _SMALL,
    distill=FrepoConfig(
        network=dataclasses.replace(FrepoConfig().network, width=(32, 64, 128)),
        optimiser=Lamb(3e-3, schedule=Decay("cosine", 0.1)),
        batch=256,
        mirror=False,
    ),
    data=DataSpec("mnist"),
    steps=5000,
    evaluate=dataclasses.replace(
        protocols.named("frepo", (28, 28, 1), size=10, mirrors=False),
        name="frepo_w32",
        network=ConvNet(width=(32, 64, 128), norm="none", initialiser="flax"),
    ),
    expected=(Expected("accuracy", 0.8, "lower bound, of 0.93 at width 128"),),
    hours="half an hour (estimate)",
)

DATA: dict[str, tuple[DataSpec, tuple[int, int, int], int]] = {
    "mnist": (DataSpec("mnist"), (28, 28, 1), 10),
    "fashion": (DataSpec("fashion_mnist"), (28, 28, 1), 10),
    "cifar10": (DataSpec("cifar10"), (32, 32, 3), 10),
    "cifar100": (DataSpec("cifar100"), (32, 32, 3), 100),
    "tiny": (DataSpec("tinyimagenet"), (64, 64, 3), 200),
    "imagenet": (DataSpec("folder", resize=64), (64, 64, 3), 1000),
    "cub": (DataSpec("cub2011", resize=32), (32, 32, 3), 200),
    "imagenette": (DataSpec("folder", resize=128), (128, 128, 3), 10),
    "imagewoof": (DataSpec("folder", resize=128), (128, 128, 3), 10),
}
_UNWHITENED = 128  # pixels a side from which a covariance of pixels is too large


def _row(data: str, ipc: int, accuracy: float, **settings: Any) -> Preset:
    """The authors' settings for a data set, shape and number of images."""
    spec, shape, classes = DATA[data]
    grey = shape[2] == 1
    zca = not grey and shape[0] < _UNWHITENED
    student = protocols.named("frepo", shape, size=ipc * classes, mirrors=not grey)
    assert isinstance(student.network, ConvNet)
    network = dataclasses.replace(FrepoConfig().network, width=student.network.width)
    given: dict[str, Any] = {"network": network, "mirror": not grey} | settings
    return Preset(
        distill=FrepoConfig(**given),
        data=dataclasses.replace(spec, whitening="zca_frepo" if zca else "standard"),
        ipc=ipc,
        steps=500_000,
        evaluate=student,
        expected=(Expected("accuracy", accuracy, "the paper (from memory)"),),
        source="yongchao97/FRePo, script/distill.py and its README",
        hardware="one data-centre GPU",
        scale="paper",
    )


PRESETS: dict[str, Preset] = {
    "digits": _SMALL,
    "mnist": _MNIST,
    "mnist28": _MNIST28,
    "mnist_ipc1_paper": _row("mnist", 1, 0.930),
    "mnist_paper": _row("mnist", 10, 0.986),
    "mnist_ipc50_paper": _row("mnist", 50, 0.992),
    "fashion_ipc1_paper": _row("fashion", 1, 0.756),
    "fashion_paper": _row("fashion", 10, 0.862),
    "fashion_ipc50_paper": _row("fashion", 50, 0.896),
    "cifar10_ipc1_paper": _row("cifar10", 1, 0.468),
    "cifar10_paper": _row("cifar10", 10, 0.655),
    "cifar10_ipc50_paper": _row("cifar10", 50, 0.717),
    "cifar100_ipc1_paper": _row("cifar100", 1, 0.287),
    "cifar100_paper": _row("cifar100", 10, 0.425, mirror=False),
    "cifar100_ipc50_paper": _row("cifar100", 50, 0.443, mirror=False),
    "tiny_ipc1_paper": _row("tiny", 1, 0.154),
    "tiny_paper": _row("tiny", 10, 0.254, mirror=False),
    "imagenet_ipc1_paper": _row("imagenet", 1, 0.075, mirror=False),
    "imagenet_ipc2_paper": _row("imagenet", 2, 0.097, mirror=False),
    "cub_ipc1_paper": _row("cub", 1, 0.124),
    "cub_paper": _row("cub", 10, 0.168),
    "imagenette_ipc1_paper": _row("imagenette", 1, 0.481),
    "imagenette_paper": _row("imagenette", 10, 0.665),
    "imagewoof_ipc1_paper": _row("imagewoof", 1, 0.297),
    "imagewoof_paper": _row("imagewoof", 10, 0.422),
}

PRESETS = with_figures(
    PRESETS,
    digits=(unrecorded(0.840),),
    mnist=(measured("frepo_mnist", 0.67),),
    mnist28=(measured("frepo_mnist28", 0.883),),
)

SMOKE = smoke(
    FrepoConfig,
    network=ConvNet(
        width=(4, 8),
        norm="batch",
        initialiser="flax",
        norm_place="before",
        batch_norm=BatchNorm(0.1, "biased"),
    ),
    network_optimiser=Adam(1e-3),
    optimiser=Lamb(1e-2, schedule=Decay("cosine", 0.1)),
    ridge=1e-3,
)
