"""Settings that bilevel methods have in common: their ranges, their augmentation."""

import math
from collections.abc import Callable
from typing import Any

from jaxdd import augment
from jaxdd.base import Augment, InputError
from jaxdd.records import AugmentSpec

__all__ = ["check_numbers", "inner_augment"]


def check_numbers(
    config: Any,
    *,
    counts: tuple[str, ...] = (),
    positive: tuple[str, ...] = (),
    not_negative: tuple[str, ...] = (),
    shares: tuple[str, ...] = (),
) -> None:
    """Refuses numbers out of range.

    Args:
      config: a method's settings.
      counts: fields that must be at least 1.
      positive: fields that must be finite and above 0.
      not_negative: fields that must be finite and at least 0.
      shares: fields that must be in [0, 1).

    Raises:
      InputError: names the field, its value and what is allowed.
    """
    rules: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
        (counts, lambda v: v >= 1, "at least 1"),
        (positive, lambda v: math.isfinite(v) and v > 0, "positive"),
        (not_negative, lambda v: math.isfinite(v) and v >= 0, "at least 0"),
        (shares, lambda v: 0 <= v < 1, "in [0, 1)"),
    )
    for names, holds, allowed in rules:
        for name in names:
            value = getattr(config, name)
            if not holds(value):
                raise InputError(f"distill.{name}={value}: must be {allowed}")


def inner_augment(
    spec: AugmentSpec, image_shape: tuple[int, int, int]
) -> Augment | None:
    """What alters the images of inner steps and real batches; None where nothing does.

    Raises:
      InputError: as `augment.build`, and for mixing, which needs the targets.
    """
    for name in ("cutmix", "mixup"):
        if getattr(spec, name):
            raise InputError(
                f"distill.augment.{name}={getattr(spec, name)}: mixes the targets of "
                "students; set it to 0 here"
            )
    return None if augment.is_identity(spec) else augment.build(spec, image_shape)
