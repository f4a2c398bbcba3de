"""The other data sets on which a protocol measures its students."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from jaxdd.base import Dataset
from jaxdd.data.load import load
from jaxdd.data.source import Progress, silent
from jaxdd.devices import agreement
from jaxdd.errors import InputError
from jaxdd.records import DataSpec, Protocol

__all__ = ["load_targets"]


def load_targets(
    protocol: Protocol,
    data: DataSpec,
    image_shape: tuple[int, int, int],
    *,
    cache: Path | None = None,
    progress: Progress = silent,
    announce: Callable[[str], None] = lambda line: None,
) -> list[Dataset]:
    """Loads the protocol's targets, at the size of the set's images.

    Each has the kind of whitening of the set's own data, fitted on itself.

    Args:
      protocol: names them, and where they lie.
      data: of the set; where targets lie if the protocol does not say.
      image_shape: (h, w, c) of the set.
      cache: as of `jaxdd.data.load.load`.
      progress: as there.
      announce: as there.

    Raises:
      InputError: a target cannot be had, or the set's images are no squares.
    """
    if not protocol.target:
        return []
    height, width, channels = image_shape
    if height != width:
        raise InputError(
            f"evaluate.target: targets are resized to the set's images, which are"
            f" {width}x{height}; only squares are possible (data.resize)"
        )
    spec = DataSpec(
        dir=protocol.target_dir or _folder(data.dir),
        resize=height,
        channels=1 if channels == 1 else 3,
        train_limit=protocol.target_train_limit,
        test_limit=protocol.target_test_limit,
        whitening=data.whitening,
    )
    return agreement.in_turn(
        lambda: [
            load(
                dataclasses.replace(spec, name=name),
                cache=cache,
                progress=progress,
                announce=announce,
            )
            for name in protocol.target
        ]
    )


def _folder(place: Path | None) -> Path | None:
    """Where files lie beside a data set that is a file itself."""
    return place.parent if place is not None and place.is_file() else place
