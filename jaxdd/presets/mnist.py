"""What the presets on MNIST for two CPU cores share: a narrow ConvNet, its students."""

from typing import Any

from jaxdd.presets.digits import on_digits
from jaxdd.records import (
    ConvNet,
    DataSpec,
    Preset,
    Protocol,
    Recipe,
    Sgd,
    Steps,
)

__all__ = ["MNIST", "MNIST_NET", "MNIST_STUDENT", "on_mnist"]

MNIST = DataSpec("mnist")
MNIST_NET = ConvNet(width=(32, 32))
MNIST_STUDENT = Protocol(
    name="mnist_d2",
    network=MNIST_NET,
    train=Recipe(
        steps=300,
        optimiser=Sgd(0.01, 0.9, 5e-4, schedule=Steps()),
    ),
)


def on_mnist(distill: Any, steps: int = 300, **changes: Any) -> Preset:
    """A preset for two CPU cores, one image per class unless `changes` say else."""
    return on_digits(
        distill, steps, **{"data": MNIST, "evaluate": MNIST_STUDENT} | changes
    )
