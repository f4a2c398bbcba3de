"""The other data sets on which a protocol measures its students."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from jaxdd.errors import InputError
from jaxdd.records import DataSpec, Protocol

__all__ = ["target_specs"]


def target_specs(
    protocol: Protocol, data: DataSpec, image_shape: tuple[int, int, int]
) -> list[DataSpec]:
    """The protocol's targets, at the size of the set's images.

    Each has the kind of whitening of the set's own data, fitted on itself.

    Args:
      protocol: names them, and where they lie.
      data: of the set; where targets lie if the protocol does not say.
      image_shape: (h, w, c) of the set.

    Raises:
      InputError: the set's images are no squares.
    """
    asked = protocol.transfer
    if not asked.targets:
        return []
    height, width, channels = image_shape
    if height != width:
        raise InputError(
            f"evaluate.transfer.targets: targets are resized to the set's images, which"
            f" are {width}x{height}; only squares are possible (data.resize)"
        )
    spec = DataSpec(
        dir=asked.dir or _folder(data.dir),
        resize=height,
        channels=1 if channels == 1 else 3,
        train_limit=asked.train_limit,
        test_limit=asked.test_limit,
        whitening=data.whitening,
    )
    return [dataclasses.replace(spec, name=name) for name in asked.targets]


def _folder(place: Path | None) -> Path | None:
    """Where files lie beside a data set that is a file itself."""
    return place.parent if place is not None and place.is_file() else place
