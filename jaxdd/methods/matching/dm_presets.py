"""Presets of distribution matching (`dm`).

| preset | command | expected | status |
| --- | --- | --- | --- |
| digits | `python experiments/run.py --method dm` | above the random row; a minute on 2 CPU cores | reproduced, experiments/results/dm_digits.json |
| mnist | `... --method dm --preset mnist --data.dir DIR --ipc 1` (or `--ipc 10 --distill.optimiser.learning-rate 10`: an image's gradient falls as 1/ipc) | ipc 1: random + 10 points and above the class means; ipc 10: above random | reproduced: 85.2 ± 1.0 % and 94.5 ± 0.3 %, random 56.3 ± 6.3 and 90.2 ± 0.8, experiments/results/dm_mnist_ipc*.json |
| folder | `... --method dm --data.dir photos/`, a folder of class folders or an archive of one; `--data.resize 64` for another size | above the random row | no figure: depends on the photos |
| cifar10_cpu | `... --method dm --preset cifar10_cpu --data.dir DIR`; with `--seeds 3 --networks mlp lenet vgg11:1 resnet18:1 alexnet:1 vit:1` a table across architectures | above the random row under its own network | experiments/results/dm_cifar10_architectures.json |
| cifar10_paper | `... --method dm --preset cifar10_paper --data.dir DIR`; from 100 images per class on `--distill.optimiser.learning-rate 10` | 26.0 ± 0.8, 48.9 ± 0.6, 63.0 ± 0.4 % at 1, 10, 50 images per class (Table 1 of NCFM, second hand) | pending |
| cifar100_paper | `... --method dm --preset cifar100_paper --data.dir DIR` | 11.4 ± 0.3, 29.7 ± 0.3, 43.6 ± 0.4 % at 1, 10, 50 (the same table) | pending |
| mnist_paper | `... --method dm --preset mnist_paper --data.dir DIR`; no mirroring | 89.7 ± 0.6, 97.5 ± 0.1, 98.6 ± 0.1 % at 1, 10, 50 (unverified) | pending |

The paper's presets augment both stages: siamese with one operation a class and step, and
the students of protocol `vico` with one operation a batch. Images of 28x28 stay as they
are: the first convolution pads them to 32x32, as the authors' network does.
"""  # noqa: E501

from jaxdd import augment
from jaxdd.methods.matching._presets import smoke
from jaxdd.methods.matching.dm import DmConfig
from jaxdd.presets import protocols
from jaxdd.records import (
    AugmentSpec,
    ConvNet,
    DataSpec,
    Expected,
    Preset,
    Protocol,
    Recipe,
    Sgd,
    Steps,
)

__all__ = ["PRESETS", "SMOKE"]

# The students of the field's labelled protocols (`dc`, `vico`), shorter.
_STUDENT = Sgd(0.01, 0.9, 5e-4, schedule=Steps())
_DIGITS_NET = ConvNet(width=(16, 16))
_MNIST_NET = ConvNet(width=(32, 32, 32))
_PAPER_NET = ConvNet(width=(128, 128, 128))


def _paper(
    data: DataSpec,
    shape: tuple[int, int, int],
    expected: Expected,
    *,
    hours: str,
    mirrors: bool = True,
) -> Preset:
    """The paper's settings, alike for all data but for mirroring digits."""
    siamese = augment.named("dsa" if mirrors else "dsa_digits")
    return Preset(
        distill=DmConfig(network=_PAPER_NET, augment=siamese, chunk_real=1024),
        data=data,
        ipc=10,
        steps=20_000,
        evaluate=protocols.named("vico", shape, mirrors=mirrors),
        expected=(expected,),
        source="Zhao and Bilen, WACV 2023; VICO-UoE/DatasetCondensation",
        hours=hours,
        hardware="one GPU",
    )


PRESETS: dict[str, Preset] = {
    "digits": Preset(
        distill=DmConfig(network=_DIGITS_NET, batch=64, chunk_real=64),
        data=DataSpec("digits"),
        ipc=1,
        steps=300,
        evaluate=Protocol(
            name="digits_plain",
            network=_DIGITS_NET,
            train=Recipe(steps=300, optimiser=_STUDENT),
        ),
        source="a small version of the paper's recipe, for two CPU cores",
        hours="a minute",
        hardware="2 CPU cores",
    ),
    "mnist": Preset(
        distill=DmConfig(network=_MNIST_NET, batch=32, chunk_real=32),
        data=DataSpec("mnist"),
        ipc=1,
        steps=300,
        evaluate=Protocol(
            name="mnist_plain",
            network=_MNIST_NET,
            train=Recipe(steps=300, optimiser=_STUDENT),
        ),
        expected=(
            Expected(
                "accuracy",
                0.852,
                "experiments/results/dm_mnist_ipc1.json",
                "reproduced",
                "ipc 1, five seeds; at full scale the paper's figure is about 0.897",
            ),
        ),
        source="a small version of the paper's recipe, for two CPU cores",
        hours="a few minutes",
        hardware="2 CPU cores",
    ),
    # For images nobody has written a preset for: a person's own folder.
    "folder": Preset(
        distill=DmConfig(
            network=_MNIST_NET,
            optimiser=Sgd(10.0, 0.5),
            batch=32,
            chunk_real=32,
        ),
        data=DataSpec("folder", resize=32),
        ipc=10,
        steps=300,
        evaluate=Protocol(
            name="folder_plain",
            network=_MNIST_NET,
            train=Recipe(steps=300, optimiser=_STUDENT),
        ),
        source="as mnist; the learning rate is that for ten images per class",
        hours="under 10 minutes for 1,000 photos",
        hardware="2 CPU cores",
    ),
    "cifar10_cpu": Preset(
        distill=DmConfig(
            network=_MNIST_NET,
            optimiser=Sgd(10.0, 0.5),
            batch=64,
            augment=augment.named("dsa"),
            chunk_real=32,
        ),
        data=DataSpec("cifar10"),
        ipc=10,
        steps=300,
        evaluate=Protocol(
            name="cifar10_dsa_300",
            network=_MNIST_NET,
            train=Recipe(
                steps=300,
                batch=256,
                optimiser=_STUDENT,
                augment=augment.named("dsa"),
            ),
            probe=Recipe(steps=0),
            fine_tune=Recipe(steps=0),
        ),
        source="a small version of the paper's recipe; the learning rate is that for"
        " ten images per class and few steps",
        hours="minutes; a table across architectures about an hour (estimate)",
        hardware="2 CPU cores",
    ),
    "cifar10_paper": _paper(
        DataSpec("cifar10"),
        (32, 32, 3),
        Expected("accuracy", 0.489, "NCFM, Table 1 (second hand)", note="ipc 10"),
        hours="about 0.5 (0.08 s a step, estimate)",
    ),
    "cifar100_paper": _paper(
        DataSpec("cifar100"),
        (32, 32, 3),
        Expected("accuracy", 0.297, "NCFM, Table 1 (second hand)", note="ipc 10"),
        hours="about 5 (ten times the classes of CIFAR-10, estimate)",
    ),
    "mnist_paper": _paper(
        DataSpec("mnist"),
        (28, 28, 1),
        Expected("accuracy", 0.975, "unverified", note="ipc 10"),
        hours="about 0.5 (estimate)",
        mirrors=False,
    ),
}

SMOKE = smoke(
    DmConfig,
    network=ConvNet(width=(4, 8)),
    augment=AugmentSpec(crop=1),
    chunk_real=16,
    chunk_synthetic=4,
)
