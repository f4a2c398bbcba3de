"""A set as a table of pictures and numbers, which every picture format writes."""

from typing import NamedTuple

import numpy as np

from jaxdd.base import Distilled
from jaxdd.exchange.own import labels_of
from jaxdd.exchange.pixels import encode

__all__ = ["Table", "make_table"]


class Table(NamedTuple):
    """One row for each image.

    Attributes:
      png: encoded pictures.
      shape: (h, w, c).
      label: int32 [m], None for sets of representations.
      weight: float32 [m].
      wide: soft labels [m,k] or targets [m,d], or None; `wide_name` says which.
      wide_name: soft_label, target or "".
      class_names: one a class; numbers where the set has no names.
    """

    png: list[bytes]
    shape: tuple[int, int, int]
    label: np.ndarray | None
    weight: np.ndarray
    wide: np.ndarray | None
    wide_name: str
    class_names: tuple[str, ...]


def make_table(distilled: Distilled, pixels: np.ndarray) -> Table:
    """The table of a set.

    Args:
      distilled: the set.
      pixels: its images as uint8 [m,h,w,c].

    Raises:
      InputError: the images are no pictures.
    """
    meta = distilled.meta
    plain = meta.label_kind == "representation"
    target = np.asarray(distilled.synthetic.target)
    wide = target.astype(np.float32) if target.ndim == 2 else None
    numbers = tuple(map(str, range(meta.num_classes)))
    height, width, channels = pixels.shape[1:]
    return Table(
        png=[encode(image) for image in pixels],
        shape=(height, width, channels),
        label=None if plain else labels_of(distilled),
        weight=np.asarray(distilled.synthetic.weight, np.float32),
        wide=wide,
        wide_name="" if wide is None else "target" if plain else "soft_label",
        class_names=() if plain else meta.class_names or numbers,
    )
