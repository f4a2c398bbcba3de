"""What somebody's file holds, before anything is concluded from it.

Arrays are found by the names that projects give them, never by guessing: a file in
which no name or layout is known is refused with a list of what it holds.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxdd.errors import InputError

__all__ = ["IMAGES", "LABELS", "RATES", "WEIGHTS", "Raw", "from_named", "number"]

IMAGES = (
    *("image", "images", "image_syn", "images_syn", "syn_images", "data_syn"),
    *("data", "x", "x_proto", "x_syn", "x_train", "support_images"),
)
"""Names of the images, the preferred first."""
LABELS = (
    *("soft_label", "soft_labels", "label", "labels", "label_syn", "labels_syn"),
    *("syn_labels", "target", "targets", "y", "y_proto", "y_syn", "y_train"),
)
RATES = ("learning_rate", "syn_lr", "lr")
WEIGHTS = ("weight", "weights")


class Raw(NamedTuple):
    """The arrays of a file with what its layout says about them.

    Attributes:
      image: numbers, [m,h,w,c], [m,c,h,w] or [m,h,w].
      label: classes [m] or rows [m,k]; None where the file has none.
      layout: the project or kind of file, for messages and `Meta.config`.
      space: one of `space.SPACES` where the layout or a name says it, or "".
      order: "nhwc" or "nchw" where the layout says it, or "".
      rate: the learned learning rate.
      weight: [m], or None.
      method, dataset: as far as the file's name tells, or "".
      class_names: of the labels, or empty.
      folders: labels number the sorted names of folders, and mean no more than that.
      notes: what a user should know.
    """

    image: np.ndarray
    label: np.ndarray | None
    layout: str
    space: str = ""
    order: str = ""
    rate: float | None = None
    weight: np.ndarray | None = None
    method: str = ""
    dataset: str = ""
    class_names: tuple[str, ...] = ()
    folders: bool = False
    notes: tuple[str, ...] = ()


def from_named(arrays: Mapping[Any, Any], where: str, layout: str) -> Raw:
    """Finds images, labels and a learning rate among named arrays.

    Args:
      arrays: by name; upper and lower case are alike, other entries are passed over.
      where: the file, for messages.
      layout: what to call this kind of file.

    Raises:
      InputError: there are no images by any name that is known.
    """
    named = {str(name).lower(): value for name, value in arrays.items()}
    image = _first(named, IMAGES)
    if image is None:
        raise InputError(
            f"{where}: no array has a name that is known for images ("
            f"{', '.join(IMAGES)}); it holds {_listed(arrays)}"
        )
    weight = _first(named, WEIGHTS)
    names = named.get("class_names")
    return Raw(
        image=image,
        label=_first(named, LABELS),
        layout=layout,
        rate=number(_any(named, RATES), f"{where}: learning rate"),
        weight=weight if weight is not None and weight.ndim == 1 else None,
        class_names=tuple(map(str, names)) if isinstance(names, np.ndarray) else (),
    )


def number(value: Any, where: str) -> float | None:
    """A single positive number, or None for None.

    Raises:
      InputError: it is none.
    """
    if value is None:
        return None
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iuf":
        shape = list(array.shape)
        raise InputError(f"{where} is {array.dtype} {shape}, not one number")
    found = float(array.reshape(()).astype(np.float64))
    if not (np.isfinite(found) and found > 0):
        raise InputError(f"{where} is {found:g}; it must be finite and above 0")
    return found


def _any(named: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((named[name] for name in names if name in named), None)


def _first(named: Mapping[str, Any], names: tuple[str, ...]) -> np.ndarray | None:
    found = (named[name] for name in names if isinstance(named.get(name), np.ndarray))
    return next(found, None)


def _listed(arrays: Mapping[Any, Any]) -> str:
    """The entries of a file, in a few words."""
    parts = [
        f"{name} {value.dtype}{list(value.shape)}"
        if isinstance(value, np.ndarray)
        else f"{name} ({type(value).__name__})"
        for name, value in list(arrays.items())[:8]
    ]
    more = f" and {len(arrays) - 8} more" if len(arrays) > 8 else ""
    return (", ".join(parts) or "nothing") + more
