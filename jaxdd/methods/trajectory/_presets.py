"""What the presets of the methods that match trajectories share."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from jaxdd import augment
from jaxdd.presets import protocols
from jaxdd.presets.digits import DIGITS_MLP, DIGITS_STUDENT, on_digits
from jaxdd.presets.fitting import filled
from jaxdd.presets.fitting import plain as presets
from jaxdd.presets.mnist import MNIST_NET, MNIST_STUDENT, on_mnist
from jaxdd.records import (
    ConvNet,
    DataSpec,
    Expected,
    Experts,
    Mlp,
    OptimiserSpec,
    Preset,
    Protocol,
    Recipe,
    Sgd,
    Steps,
)

__all__ = [
    "CIFAR_CPU_EXPERTS",
    "DIGITS_EXPERTS",
    "MNIST_EXPERTS",
    "cifar10_cpu",
    "digits",
    "experts",
    "mnist",
    "presets",
    "row",
    "sgd",
    "smoke",
    "smoke_experts",
    "soft",
]

DIGITS_EXPERTS = Experts(
    network=DIGITS_MLP,
    recipe=Recipe(batch=64, optimiser=Sgd(0.05, 0.0)),
    epochs=20,
    count=20,
)
MNIST_EXPERTS = Experts(
    network=MNIST_NET,
    recipe=Recipe(batch=64, optimiser=Sgd(0.02, 0.0)),
    epochs=3,
    count=12,
)
CIFAR_CPU_EXPERTS = Experts(
    network=ConvNet(width=(16, 16, 16)),
    recipe=Recipe(batch=64, optimiser=Sgd(0.02, 0.0)),
    epochs=3,
    count=12,
)

_DSA = augment.named("dsa")
_CIFAR_STUDENT = Protocol(
    name="cifar10_cpu",
    network=CIFAR_CPU_EXPERTS.network,
    train=Recipe(steps=300, optimiser=Sgd(0.01, 0.9, 5e-4, schedule=Steps())),
)
_DATA = {
    "cifar10": (DataSpec("cifar10"), 3),
    "cifar100": (DataSpec("cifar100"), 3),
    "tiny": (DataSpec("tinyimagenet"), 4),
    "imagenette": (DataSpec("folder", resize=128), 5),
    "imagenet": (DataSpec("folder", resize=64), 4),
}
_SIDE = {3: 32, 4: 64, 5: 128}


def sgd(rate: float, momentum: float = 0.5) -> OptimiserSpec:
    """SGD, as all outer optimisers of these methods are."""
    return Sgd(rate, momentum)


def soft(protocol: Protocol) -> Protocol:
    """The protocol for labels that are logits; other rows keep their classes."""
    train = dataclasses.replace(protocol.train, loss="soft_cross_entropy")
    return dataclasses.replace(protocol, name=f"{protocol.name}_soft", train=train)


def experts(depth: int, **changes: Any) -> Experts:
    """The papers' experts: 100 ConvNets of width 128, 50 epochs, with augmentation."""
    plain = Experts(
        network=ConvNet(width=(128,) * depth),
        recipe=Recipe(batch=256, optimiser=sgd(0.01, 0.0), augment=_DSA),
    )
    return dataclasses.replace(plain, **changes)


_SMALL: dict[str, Any] = {
    "inner_steps": 20,
    "rate": 0.05,
    "rate_optimiser": sgd(1e-4),  # ten times more and the rate collapses at first
}
_EARLY = {"expert_epochs": 1, "last": 2}  # later, ten images cannot follow


def digits(
    config: type, *, evaluate: Protocol = DIGITS_STUDENT, **settings: Any
) -> Preset:
    """One image per class of the embedded digits, in seconds."""
    common = {"experts": DIGITS_EXPERTS, "last": 8, "optimiser": sgd(5.0)}
    distill = config(**_SMALL | common | settings)
    return on_digits(
        distill, 1500, evaluate=evaluate, hours="a minute with its experts"
    )


def mnist(
    config: type, *, evaluate: Protocol = MNIST_STUDENT, **settings: Any
) -> Preset:
    """One image per class of a tenth of MNIST, in minutes."""
    common = {"experts": MNIST_EXPERTS, "optimiser": sgd(1000.0)}
    return on_mnist(
        config(**_SMALL | _EARLY | common | settings),
        data=DataSpec("mnist", train_limit=6000),
        evaluate=evaluate,
        hours="minutes with its experts",
    )


def cifar10_cpu(config: type, **settings: Any) -> Preset:
    """One image per class of a tenth of CIFAR-10, in minutes."""
    common = {"experts": CIFAR_CPU_EXPERTS, "optimiser": sgd(300.0)}
    return on_mnist(
        config(**_SMALL | _EARLY | common | settings),
        data=DataSpec("cifar10", train_limit=5000),
        evaluate=_CIFAR_STUDENT,
        hours="minutes with its experts",
    )


def row(
    config: type,
    data: str,
    ipc: int,
    *,
    accuracy: float | None = None,
    source: str = "",
    zca: bool = False,
    iterations: int = 5000,
    expert: Mapping[str, Any] = MappingProxyType({}),
    protocol: str = "mtt",
    **settings: Any,
) -> Preset:
    """A row of a method's table of settings.

    Args:
      config: of the method.
      data: short name of the data.
      ipc: images per class.
      accuracy: what the authors report.
      source: of the settings.
      zca: whiten as the authors do; otherwise standardise.
      iterations: outer steps.
      expert: what differs from `experts`.
      protocol: of the students.
      **settings: what differs from most rows, fields of `config`.
    """
    spec, depth = _DATA[data]
    common = {
        "experts": experts(depth, **expert),
        "inner_steps": 20,
        "expert_epochs": 2,
        "optimiser": sgd(1000.0),
        "rate": 0.01,
        "rate_optimiser": sgd(1e-5),
        "augment": _DSA,
    }
    reported = () if accuracy is None else (Expected("accuracy", accuracy, source),)
    return Preset(
        distill=config(**common | settings),
        data=dataclasses.replace(spec, whitening="zca_kornia") if zca else spec,
        ipc=ipc,
        steps=iterations,
        evaluate=protocols.named(protocol, (_SIDE[depth], _SIDE[depth], 3)),
        expected=reported,
        source=source,
        hours="about an hour with its experts (estimate)",
        hardware="one GPU",
        scale="paper",
    )


def smoke(config: type, **changes: Any) -> Any:
    """Settings that run in seconds on tiny images: two small experts of four epochs."""
    common = {
        "experts": smoke_experts(),
        "inner_steps": 4,
        "last": 3,
        "optimiser": sgd(0.5),
        "rate": 0.05,
        "rate_optimiser": sgd(1e-4),
    }
    return filled(config, common, changes)


def smoke_experts(width: int = 8, rate: float = 0.1, **changes: Any) -> Experts:
    """Two MLPs of one layer, trained for four epochs."""
    tiny = Experts(
        network=Mlp(width=(width,)),
        recipe=Recipe(batch=8, optimiser=sgd(rate, 0.0)),
        epochs=4,
        count=2,
    )
    return dataclasses.replace(tiny, **changes)
