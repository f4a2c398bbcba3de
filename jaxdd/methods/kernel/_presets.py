"""What the presets of kernel methods share: kernels, data, small protocols."""

from typing import Any

from jaxdd.presets.fitting import filled
from jaxdd.presets.fitting import plain as presets
from jaxdd.records import (
    Adam,
    Architecture,
    ConvNet,
    DataSpec,
    Fc,
    KernelSpec,
    LinearKernel,
    Mlp,
    Preset,
    Protocol,
    Recipe,
    Regression,
    WideKernel,
)

__all__ = [
    "CONVNET",
    "DATA",
    "FC1",
    "FC2",
    "MNIST_14",
    "MNIST_16",
    "SMALL_NET",
    "by_kernel",
    "presets",
    "small",
    "smoke",
]

FC1 = WideKernel("ntk", Fc(1))
FC2 = WideKernel("ntk", Fc(2))
CONVNET = WideKernel("ntk", Architecture("convnet"))
MNIST_14 = DataSpec(
    "mnist", train_limit=6000, test_limit=2000, pool=2, limit_takes="first"
)
MNIST_16 = DataSpec(
    "mnist", train_limit=6000, test_limit=2000, pad=2, pool=2, limit_takes="first"
)
SMALL_NET = ConvNet(width=(16, 32), norm="none", initialiser="flax")

DATA: dict[str, tuple[DataSpec, tuple[int, int, int], int]] = {
    "mnist": (DataSpec("mnist"), (28, 28, 1), 10),
    "fashion": (DataSpec("fashion_mnist"), (28, 28, 1), 10),
    "svhn": (DataSpec("svhn"), (32, 32, 3), 10),
    "cifar10": (DataSpec("cifar10"), (32, 32, 3), 10),
    "cifar100": (DataSpec("cifar100"), (32, 32, 3), 100),
}
"""By name: the data, its images and its classes."""


def by_kernel(name: str, *kernels: KernelSpec, ridge: float = 1e-6) -> Protocol:
    """Kernel regression only: no network is trained."""
    return Protocol(
        name=name,
        train=Recipe(steps=0, optimiser=Adam(1e-3), loss="mse"),
        probe=Recipe(steps=0),
        fine_tune=Recipe(steps=0),
        regression=Regression(kernels=kernels, ridge=ridge),
    )


def small(config: Any) -> Preset:
    """Settings for a narrow network on the embedded digits, one image per class."""
    return Preset(
        distill=config,
        data=DataSpec("digits"),
        ipc=1,
        steps=500,
        evaluate=Protocol(
            name="krr_small",
            network=SMALL_NET,
            train=Recipe(steps=300, optimiser=Adam(3e-3), loss="mse"),
        ),
        source="a small version of the paper's recipe, for two CPU cores",
        hours="under a minute",
        hardware="2 CPU cores",
    )


def smoke(config: type, **changes: Any) -> Any:
    """Settings that run in seconds on tiny images: a linear kernel, a small pool."""
    common = {
        "network": Mlp(width=(6,), initialiser="flax"),
        "kernel": LinearKernel(),
        "pool": 2,
        "max_age": 4,
        "batch": 16,
    }
    return filled(config, common, changes)
