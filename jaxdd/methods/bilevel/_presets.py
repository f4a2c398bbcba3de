"""What the presets of the methods that unroll the training of networks share."""

from typing import Any

from jaxdd.presets.fitting import filled
from jaxdd.presets.fitting import plain as presets
from jaxdd.records import (
    Adam,
    AugmentSpec,
    ConvNet,
    DataSpec,
    Expected,
    Mlp,
    Preset,
    Protocol,
    Recipe,
    Sgd,
)

__all__ = ["FLIP_ROTATE", "long_paper", "presets", "smoke"]

FLIP_ROTATE = AugmentSpec(policy="dsa", strategy="flip_rotate")


def long_paper(config: type, data: DataSpec, expected: Expected, hours: str) -> Preset:
    """The paper's settings of `bptt` and `rtp` (Deng and Russakovsky) for CIFAR."""
    network = ConvNet(width=(128, 128, 128))
    return Preset(
        distill=config(
            network=network,
            augment=FLIP_ROTATE,
            classes=0 if data.name == "cifar10" else 10,
        ),
        data=data,
        ipc=1,
        steps=50_000,
        evaluate=Protocol(
            name="rtp",
            network=network,
            train=Recipe(
                epochs=300,
                batch=640,
                optimiser=Sgd(0.01, 0.9),
                augment=FLIP_ROTATE,
            ),
        ),
        expected=(expected,),
        source="Deng and Russakovsky, NeurIPS 2022; run_scripts of their repository",
        hours=hours,
        hardware="one GPU",
        scale="paper",
    )


def smoke(config: type, **changes: Any) -> Any:
    """Settings that run in seconds on tiny images: three steps of a small MLP."""
    common = {
        "network": Mlp(width=(8,)),
        "inner_steps": 3,
        "batch": 24,
        "optimiser": Adam(0.03),
    }
    return filled(config, common, changes)
