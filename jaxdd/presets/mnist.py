"""What the presets on MNIST for two CPU cores share: a narrow ConvNet, its students."""

from jaxdd.records import (
    ConvNet,
    DataSpec,
    Protocol,
    Recipe,
    Sgd,
    Steps,
)

__all__ = ["MNIST", "MNIST_NET", "MNIST_STUDENT"]

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
