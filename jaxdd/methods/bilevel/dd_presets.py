"""Presets of dataset distillation by its first method (`dd`).

Students replay the steps of the set (`evaluate.labelled.replay`). Random real images
take as many steps, all at one rate, the best of `evaluate.labelled.learning_rates` by
test accuracy. The figures of the `fixed` presets are those of the one network a set is
made for; the students here are other ones.
"""

from typing import Any

from jaxdd.methods.bilevel._presets import smoke
from jaxdd.methods.bilevel.dd import DdConfig
from jaxdd.presets.digits import DIGITS_MLP, on_digits
from jaxdd.presets.figures import measured, unrecorded, with_figures
from jaxdd.presets.mnist import MNIST_NET, on_mnist
from jaxdd.records import (
    Adam,
    AlexNet,
    DataSpec,
    Decay,
    Expected,
    Labelled,
    LeNet,
    NetworkSpec,
    Preset,
    Protocol,
    Recipe,
    Sgd,
)

__all__ = ["PRESETS", "SMOKE"]

_RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def _replayed(name: str, network: NetworkSpec) -> Protocol:
    return Protocol(
        name=name,
        network=network,
        train=Recipe(steps=30, optimiser=Sgd(0.02, 0.0)),
        labelled=Labelled(learning_rates=_RATES, replay=True),
    )


def _paper(
    data: str, network: NetworkSpec, ipc: int, expected: float, **settings: Any
) -> Preset:
    return Preset(
        distill=DdConfig(network=network, batches=ipc, **settings),
        data=DataSpec(data),
        ipc=ipc,
        steps=400 * (58 if data == "mnist" else 48),  # epochs of batches of 1024
        evaluate=_replayed(f"dd_{data}", network),
        expected=(Expected("accuracy", expected, "unverified"),),
        source="Wang et al. 2018; SsnL/dataset-distillation, its documentation",
        hours="minutes (estimate)",
        hardware="one GPU",
        scale="paper",
    )


_LENET = LeNet(initialiser="xavier")
_ALEXNET = AlexNet(norm="none", initialiser="xavier")

PRESETS: dict[str, Preset] = {
    "digits": on_digits(
        DdConfig(
            network=DIGITS_MLP,
            batches=5,
            passes=2,
            rate=0.1,
            batch=512,
            optimiser=Adam(0.01, b1=0.5),
        ),
        500,
        ipc=5,
        evaluate=_replayed("digits_replayed", DIGITS_MLP),
        source="the paper's recipe, small",
    ),
    "mnist": on_mnist(
        DdConfig(
            network=MNIST_NET,
            batches=1,
            passes=10,
            rate=0.05,
            batch=256,
            # Four times more, or without an end to it, and the loss jumps back up.
            optimiser=Adam(0.005, b1=0.5, schedule=Decay("cosine")),
        ),
        500,
        evaluate=_replayed("mnist_d2_replayed", MNIST_NET),
        source="the paper's recipe, small, on the field's ConvNet",
        hours="about 5 minutes",
    ),
    "mnist_paper": _paper("mnist", _LENET, 10, 0.795),
    "mnist_fixed_paper": _paper("mnist", _LENET, 1, 0.94, start="fixed"),
    "cifar10_paper": _paper("cifar10", _ALEXNET, 10, 0.368, rate=0.001),
    "cifar10_fixed_paper": _paper(
        "cifar10", _ALEXNET, 10, 0.54, rate=0.001, start="fixed"
    ),
}

PRESETS = with_figures(
    PRESETS,
    digits=(unrecorded(0.904, source="one student"),),
    mnist=(measured("dd_mnist", 0.74),),
)

SMOKE = smoke(
    DdConfig,
    batches=1,
    passes=3,
    rate=0.3,
    optimiser=Adam(0.03, b1=0.5),
)
