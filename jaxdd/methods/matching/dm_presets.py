"""Presets of distribution matching (`dm`): small ones, a folder's, the paper's.

An image's gradient falls as 1/ipc: at `--ipc 10` the small ones take
`--distill.optimiser.learning-rate 10`, and so do the paper's from 100 images per class
on. The paper's presets augment both stages: siamese with one operation a class and
step, and the students of protocol `vico` with one operation a batch. Images of 28x28
stay as they are: the first convolution pads them to 32x32, as the authors' network
does. `cifar10_cpu` with `--seeds 3 --networks mlp lenet vgg11:1 resnet18:1 alexnet:1
vit:1` gives a table across architectures.
"""

from jaxdd import augment
from jaxdd.methods.matching._presets import smoke
from jaxdd.methods.matching.dm import DmConfig
from jaxdd.presets import protocols
from jaxdd.presets.figures import measured, with_figures
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
        scale="paper",
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

PRESETS = with_figures(
    PRESETS,
    digits=(measured("dm_digits", 0.828),),
    mnist=(
        measured("dm_mnist_ipc1", 0.852),
        measured("dm_mnist_ipc10", 0.945, note="ipc 10, rate 10"),
    ),
    cifar10_cpu=(
        measured("dm_cifar10_architectures", 0.388),
        measured("dm_cifar10_ipc1", 0.242, note="ipc 1"),
        measured("dm_cifar10_ipc1_flip", 0.261, note="ipc 1, mirror images"),
    ),
    cifar10_paper=(
        Expected("accuracy", 0.26, "NCFM, Table 1 (second hand)", note="ipc 1"),
        Expected("accuracy", 0.63, "NCFM, Table 1 (second hand)", note="ipc 50"),
    ),
    cifar100_paper=(
        Expected("accuracy", 0.114, "NCFM, Table 1 (second hand)", note="ipc 1"),
        Expected("accuracy", 0.436, "NCFM, Table 1 (second hand)", note="ipc 50"),
    ),
    mnist_paper=(
        Expected("accuracy", 0.897, "unverified", note="ipc 1"),
        Expected("accuracy", 0.986, "unverified", note="ipc 50"),
    ),
)

SMOKE = smoke(
    DmConfig,
    network=ConvNet(width=(4, 8)),
    augment=AugmentSpec(crop=1),
    chunk_real=16,
    chunk_synthetic=4,
)
