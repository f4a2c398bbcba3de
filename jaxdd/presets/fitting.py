"""Settings fitted: to a method that has none of its own, and to smaller images."""

import dataclasses
import math
from typing import Any

from jaxdd.base import Method
from jaxdd.presets.digits import DIGITS
from jaxdd.records import ConvNet, Preset, Protocol

__all__ = ["SIDES", "filled", "fit_networks", "plain"]

SIDES = {"digits": 8, "mnist": 28, "folder": 32}
"""Sides of the images that small presets are tuned on, by the data's name."""


def filled(config: type, common: dict[str, Any], changes: dict[str, Any]) -> Any:
    """A method's settings from a family's.

    Args:
      config: the class of the settings.
      common: values of the family; names that the class does not have are left out.
      changes: values of the method.
    """
    names = {field.name for field in dataclasses.fields(config)}
    return config(**{n: v for n, v in common.items() if n in names} | changes)


def plain(method: Method) -> dict[str, Preset]:
    """The preset `plain` alone: a method's default settings on the embedded digits."""
    labelled = method.targets == "label"
    preset = Preset(
        distill=method.config(),
        data=DIGITS,
        steps=0 if method.one_shot else 1000,
        evaluate=Protocol(network=ConvNet(width=(32, 32, 32))),
        ipc=10 if labelled else None,
        size=None if labelled else 50,
        source="the method's defaults; no preset file",
    )
    return {"plain": fit_networks(preset, SIDES[DIGITS.name])}


def fit_networks(record: Any, side: int) -> Any:
    """The record with every ConvNet cut to the blocks that fit images of that side."""
    if isinstance(record, ConvNet):
        return _fit_network(record, side)
    if isinstance(record, tuple):
        return tuple(fit_networks(part, side) for part in record)
    if not dataclasses.is_dataclass(record) or isinstance(record, type):
        return record
    values = {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}
    return dataclasses.replace(
        record, **{name: fit_networks(value, side) for name, value in values.items()}
    )


def _fit_network(spec: ConvNet, side: int) -> ConvNet:
    blocks = max(1, int(math.log2(side)))
    if spec.pooling == "none":
        return spec
    if spec.depth is not None:
        return dataclasses.replace(spec, depth=min(spec.depth, blocks))
    return dataclasses.replace(spec, width=spec.width[:blocks])
