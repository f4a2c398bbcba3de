"""What the published settings of `dc` and `dsa` share: data, steps, protocols."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from jaxdd.presets import protocols
from jaxdd.presets.fitting import filled
from jaxdd.presets.fitting import plain as presets
from jaxdd.records import DataSpec, Expected, Mlp, Preset, Protocol, Sgd

__all__ = ["STEPS", "Row", "presets", "smoke", "table"]

# 1001 networks, each for as many matchings as `pools.matched.loops` says.
STEPS = {1: 1001, 10: 10_010, 50: 50_050}

_SHAPES = {
    "mnist": ("mnist", (28, 28, 1)),
    "fashion": ("fashion_mnist", (28, 28, 1)),
    "svhn": ("svhn", (32, 32, 3)),
    "cifar10": ("cifar10", (32, 32, 3)),
    "cifar100": ("cifar100", (32, 32, 3)),
}
_HOURS = {1: 0.1, 10: 1.5, 50: 10.0}  # with ten classes


class Row(NamedTuple):
    """One data set at one number of images per class."""

    name: str
    ipc: int
    accuracy: float  # in %, as published

    @property
    def data(self) -> DataSpec:
        """The data set."""
        return DataSpec(_SHAPES[self.name][0])

    @property
    def mirrors(self) -> bool:
        """Whether a mirrored image is of the same class."""
        return self.name not in ("mnist", "svhn")

    @property
    def expected(self) -> tuple[Expected, ...]:
        """The published accuracy."""
        source = "the authors' README (VICO-UoE/DatasetCondensation)"
        value = round(self.accuracy / 100, 4)
        return (Expected("accuracy", value, source, note=f"ipc {self.ipc}"),)

    @property
    def hours(self) -> str:
        """An estimate."""
        hours = _HOURS[self.ipc] * (10 if self.name == "cifar100" else 1)
        return f"about {hours:g} (estimate)"

    def protocol(self, name: str) -> Protocol:
        """The protocol of that name for this data."""
        return protocols.named(name, _SHAPES[self.name][1], mirrors=self.mirrors)


def table(
    numbers: Mapping[str, tuple[float | None, ...]], build: Callable[[Row], Preset]
) -> dict[str, Preset]:
    """A preset for each data set and number of images per class.

    Args:
      numbers: accuracy in % at 1, 10 and 50 images per class; None: not published,
        and no preset.
      build: the preset of a row.

    Returns:
      Presets `NAME_paper` with 10 images per class, and `NAME_ipc1_paper`,
      `NAME_ipc50_paper`.
    """
    presets = {}
    for name, accuracies in numbers.items():
        for ipc, accuracy in zip(STEPS, accuracies, strict=True):
            if accuracy is None:
                continue
            middle = "" if ipc == 10 else f"_ipc{ipc}"
            presets[f"{name}{middle}_paper"] = build(Row(name, ipc, accuracy))
    return presets


def smoke(config: type, **changes: Any) -> Any:
    """Settings that run in seconds on tiny images: a small MLP, few real images."""
    common = {
        "network": Mlp(width=(16,)),
        "optimiser": Sgd(0.1, 0.5),
        "batch": 8,
    }
    return filled(config, common, changes)
