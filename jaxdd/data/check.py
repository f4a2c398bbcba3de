"""Checks of the arrays a user gives, before anything is computed from them.

Each refusal names the array, what is wrong with it, what is allowed and what to do.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdd.errors import InputError

__all__ = ["Split", "check_pair", "check_split", "count_classes"]

Split = tuple[np.ndarray, np.ndarray | None]  # images, labels


def check_split(image: Any, label: Any, where: str) -> Split:
    """Checks one split and brings it to uint8 [n,h,w,c] and int32 [n].

    Raises:
      InputError: names the array after `where`, what is wrong and what is allowed.
    """
    image = _check_images(_to_numpy(image, f"{where} images"), f"{where} images")
    if label is None:
        return image, None
    label = _to_numpy(label, f"{where} labels")
    return image, _check_labels(label, len(image), f"{where} labels")


def _to_numpy(array: Any, where: str) -> np.ndarray:
    try:
        array = np.asarray(array)
    except ValueError as error:
        raise InputError(f"{where} are no array: {error}") from error
    if array.dtype.hasobject:
        raise InputError(
            f"{where} are Python objects; give an array of numbers, all rows alike"
        )
    return array


def _check_images(image: np.ndarray, where: str) -> np.ndarray:
    if image.ndim not in (3, 4) or 0 in image.shape:
        raise InputError(
            f"{where} have shape {image.shape}; allowed are [n,height,width] and "
            "[n,height,width,channels], none of them 0"
        )
    if image.ndim == 3:
        image = image[..., None]
    if image.shape[1] in (1, 3) and image.shape[3] > 4:
        raise InputError(
            f"{where} have shape {image.shape}, which looks like channels first; "
            "use [n,height,width,channels] (np.moveaxis(images, 1, -1))"
        )
    if image.dtype == np.uint8:
        return np.ascontiguousarray(image)
    if not np.issubdtype(image.dtype, np.floating):
        raise InputError(
            f"{where} have type {image.dtype}; allowed are uint8 and floats in [0,1]"
        )
    if not np.isfinite(image).all():
        raise InputError(
            f"{where} contain NaN or infinity; remove or repair these rows"
        )
    low, high = float(image.min()), float(image.max())
    if low < 0 or high > 1:
        raise InputError(
            f"{where} are floats between {low:g} and {high:g}; floats must lie in "
            "[0,1]: rescale them, or give uint8"
        )
    return np.rint(image.astype(np.float32) * 255).astype(np.uint8)


def _check_labels(label: np.ndarray, count: int, where: str) -> np.ndarray:
    if label.ndim == 2 and label.shape[1] == 1:  # as Keras stores CIFAR
        label = label[:, 0]
    if label.ndim != 1:
        raise InputError(
            f"{where} have shape {label.shape}; allowed is [n], one class number per "
            "image (for one-hot rows: labels.argmax(1))"
        )
    if len(label) != count:
        raise InputError(f"{where}: {len(label)} labels for {count} images")
    if not np.issubdtype(label.dtype, np.integer):
        raise InputError(
            f"{where} have type {label.dtype}; allowed are whole numbers: map the "
            "classes to 0..k-1 (np.unique(labels, return_inverse=True)[1])"
        )
    if label.min() < 0 or label.max() >= 2**31:
        bad = label.min() if label.min() < 0 else label.max()
        raise InputError(f"{where} contain {bad}; map the classes to 0..k-1")
    return label.astype(np.int32)


def count_classes(
    label: np.ndarray | None, where: str, class_names: Sequence[str]
) -> int:
    """The number of classes k of training labels 0..k-1, or 0 without labels.

    Raises:
      InputError: a number below the highest does not occur, or the names do not fit.
    """
    if label is None:
        return 0
    present = np.unique(label)
    classes = len(present)
    if present[-1] != classes - 1:
        missing = next(c for c, found in enumerate(present) if c != found)
        raise InputError(
            f"{where} labels have {classes} classes, numbered up to {present[-1]}, and "
            f"none is {missing}; map the classes to 0..{classes - 1} "
            "(np.unique(labels, return_inverse=True)[1])"
        )
    if class_names and len(class_names) != classes:
        raise InputError(
            f"{where} labels have {classes} classes, but there are "
            f"{len(class_names)} class names"
        )
    return classes


def check_pair(train: Split, test: Split, name: str) -> None:
    """Checks that two splits belong to the same data.

    Raises:
      InputError: their images differ in shape, or their labels in kind or range.
    """
    if train[0].shape[1:] != test[0].shape[1:]:
        raise InputError(
            f"{name}: train images are {train[0].shape[1:]}, test images "
            f"{test[0].shape[1:]} (height, width, channels); they must be alike"
        )
    if (train[1] is None) != (test[1] is None):
        without = "train" if train[1] is None else "test"
        raise InputError(f"{name}: {without} has no labels; give both or neither")
    if train[1] is not None and test[1] is not None and test[1].max() > train[1].max():
        raise InputError(
            f"{name}: test labels contain class {test[1].max()}, training ends at "
            f"{train[1].max()}; use the same classes 0..k-1 in both"
        )
