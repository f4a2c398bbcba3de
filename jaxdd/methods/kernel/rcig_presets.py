"""Presets of RCIG (`rcig`).

The settings are those of yolky/RCIG's configs_final for each data set, 10,000 steps
(the default of its program; the paper's numbers of steps differ between data sets).
Where it differentiates random rows of large sets, here all rows are, a few at a time.
At 128 pixels its data is whitened by a covariance of one sub-lattice, here channels are
standardised. Students train as in its eval.py, which has every image's mirror image in
the set; here mirror images come from the augmentation alone.
"""

import dataclasses
from typing import Any

from jaxdd.methods.kernel import frepo_presets as frepo
from jaxdd.methods.kernel._presets import smoke
from jaxdd.methods.kernel.rcig import RcigConfig
from jaxdd.presets.figures import measured, unrecorded, with_figures
from jaxdd.records import (
    Activation,
    Adam,
    AugmentSpec,
    ConvNet,
    Preset,
    Protocol,
    Softplus,
)

__all__ = ["PRESETS", "SMOKE"]

_SMALL = dataclasses.replace(
    frepo.PRESETS["digits"],
    distill=RcigConfig(
        network=ConvNet(
            width=(16, 32), norm="none", initialiser="flax", activation=Softplus()
        ),
        pool=10,
        network_optimiser=Adam(9e-4),
        batch=256,
        mirror=False,
        ema=0.9,
    ),
    source="a small version of the authors' settings, for two CPU cores",
    hours="minutes",
)
_MNIST = dataclasses.replace(
    _SMALL, data=frepo.PRESETS["mnist"].data, source=_SMALL.source
)

_DEPTH = {28: 3, 32: 3, 64: 4, 128: 5}
_CHUNK = 400  # images, from which their programs work on some at a time


def _row(data: str, ipc: int, **settings: Any) -> Preset:
    """The authors' settings for a data set and a number of images."""
    base = frepo.PRESETS[f"{data}_paper" if ipc == 10 else f"{data}_ipc{ipc}_paper"]
    _, shape, classes = frepo.DATA[data]
    depth = _DEPTH[shape[0]]
    network = ConvNet(
        width=tuple(128 * 2**block for block in range(depth)),
        norm="none",
        initialiser="flax",
        activation=Softplus() if depth == 3 else Activation(),
    )
    given: dict[str, Any] = {"network": network, "mirror": shape[2] == 3}
    if ipc * classes > _CHUNK or depth > 3:
        given |= {"chunk_synthetic": _CHUNK, "chunk_real": 256}
    return Preset(
        distill=RcigConfig(**given | settings),
        data=base.data,
        ipc=ipc,
        steps=10_000,
        evaluate=_student(base.evaluate, ipc * classes, shape[2] == 1),
        source="yolky/RCIG, configs_final and its program's defaults",
        hardware="one data-centre GPU",
        scale="paper",
    )


def _student(protocol: Protocol, size: int, grey: bool) -> Protocol:
    """FRePo's, as eval.py changes it: fewer steps, a slower rate, larger batches."""
    optimiser = dataclasses.replace(protocol.train.optimiser, learning_rate=1e-4)
    digits = AugmentSpec(policy="frepo", strategy="crop_rotate_translate_cutout")
    train = dataclasses.replace(
        protocol.train,
        steps=1000 if size == 10 else 2000,
        batch=256 if size > 256 else 0,
        optimiser=optimiser,
        augment=digits if grey else protocol.train.augment,
    )
    return dataclasses.replace(protocol, name="rcig", train=train)


PRESETS: dict[str, Preset] = {
    "digits": _SMALL,
    "mnist": _MNIST,
    **{
        f"{data}_code" if ipc == 10 else f"{data}_ipc{ipc}_code": _row(data, ipc)
        for data in ("mnist", "fashion", "cifar10", "cifar100")
        for ipc in (1, 10, 50)
    },
    "cifar100_ipc50_code": _row("cifar100", 50, mirror=False),
    "tiny_ipc1_code": _row("tiny", 1),
    "tiny_code": _row("tiny", 10, mirror=False),
    "cub_ipc1_code": _row("cub", 1),
    "cub_code": _row("cub", 10),
    "imagenet_ipc1_code": _row("imagenet", 1, mirror=False),
    "imagenet_ipc2_code": _row("imagenet", 2, mirror=False),
    **{
        f"{data}_code" if ipc == 10 else f"{data}_ipc{ipc}_code": _row(
            data, ipc, ridge=5e-2
        )
        for data in ("imagenette", "imagewoof")
        for ipc in (1, 10)
    },
}

PRESETS = with_figures(
    PRESETS,
    digits=(unrecorded(0.885),),
    mnist=(measured("rcig_mnist", 0.766),),
)

# Converged and unclipped, the gradient is that of the loss.
SMOKE = smoke(
    RcigConfig,
    visit=(1, 2),
    network_optimiser=Adam(1e-3),
    solver="cg",
    linear_steps=40,
    system_steps=40,
    clip=False,
    ridge=1e-2,
    ema=0.5,
)
