"""From arrays to a `Corpus`: checks, reshaping, limits, whitening, content hash.

Every data set passes through `dataset_from_arrays`, whatever it was read from, so bad
input is refused in one place and in the same words.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdd import files, whiten
from jaxdd.base import Corpus, Dataset, InputError
from jaxdd.records import DataSpec

__all__ = ["Split", "build", "check_split", "dataset_from_arrays"]

Split = tuple[np.ndarray, np.ndarray | None]  # images, labels

_SEED = 0  # of the subsets: the same images in every run


def build(
    image: np.ndarray,
    label: np.ndarray | None,
    whitening: whiten.Whitening,
    *,
    name: str,
    class_names: Sequence[str] = (),
    num_classes: int | None = None,
) -> Corpus:
    """Puts one checked split on the device.

    Args:
      image: uint8 [n,h,w,c].
      label: int [n] in [0, k), or None.
      whitening: fitted on the training split.
      name: the data set's name.
      class_names: k names, or empty.
      num_classes: k where this split may lack classes; default the highest label + 1.
    """
    if label is None:
        classes, groups = 0, [np.arange(len(image))]
        label = np.zeros(len(image), np.int32)
    else:
        classes = int(label.max()) + 1 if num_classes is None else num_classes
        ends = np.cumsum(np.bincount(label, minlength=classes))
        groups = np.split(np.argsort(label, kind="stable"), ends[:-1])
    index = np.zeros((len(groups), max(map(len, groups))), np.int32)
    for c, group in enumerate(groups):
        index[c, : len(group)] = group
    label = label.astype(np.int32)
    kind = "labelled" if classes else "unlabelled"
    return Corpus(
        image=jnp.asarray(image),
        label=jnp.asarray(label),
        class_index=jnp.asarray(index),
        class_count=jnp.asarray([len(group) for group in groups], jnp.int32),
        whitening=whitening,
        num_classes=classes,
        name=name,
        hash=files.sha256(image, label, kind, *class_names),
        class_names=tuple(class_names),
    )


def dataset_from_arrays(
    train: Split,
    test: Split | None,
    spec: DataSpec,
    name: str = "arrays",
    *,
    class_names: Sequence[str] = (),
) -> Dataset:
    """Makes a data set from NumPy arrays.

    Images are uint8 or floats in [0,1] (rounded to uint8), [n,h,w,c] or grey [n,h,w].
    Labels are whole numbers 0 to k-1 [n], all of which occur in training, or None.
    The limits, the padding and the pooling of `spec` are applied, and its whitening is
    fitted on what remains of the training images.

    Args:
      train: images and labels.
      test: the same for the test split, or None.
      spec: how to bring it to shape; its `name` and `dir` are not used.
      name: the data set's name, for messages and reports.
      class_names: k names, or empty.

    Raises:
      InputError: an array has the wrong shape, type, length or range, or is empty; the
        splits do not fit together; the settings do not fit the images.
    """
    _check_spec(spec)
    train = check_split(*train, f"{name}: train")
    classes = _count_classes(train[1], f"{name}: train", class_names)
    if test is not None:
        test = check_split(*test, f"{name}: test")
        _check_pair(train, test, name)
    train = _shape(_limit(train, spec.train_limit, classes, "train_limit"), spec)
    whitening = whiten.fit(spec.whitening, train[0])

    def finish(split: Split) -> Corpus:
        return build(
            *split,
            whitening,
            name=name,
            class_names=class_names,
            num_classes=classes,
        )

    if test is None:
        return Dataset(finish(train), None)
    test = _shape(_limit(test, spec.test_limit, classes, "test_limit"), spec)
    return Dataset(finish(train), finish(test))


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


def _count_classes(
    label: np.ndarray | None, where: str, class_names: Sequence[str]
) -> int:
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


def _check_pair(train: Split, test: Split, name: str) -> None:
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


def _check_spec(spec: DataSpec) -> None:
    least = {"train_limit": 1, "test_limit": 1, "pad": 0, "pool": 1}
    for field, low in least.items():
        value = getattr(spec, field)
        if value is not None and value < low:
            raise InputError(f"data.{field} is {value}; it must be at least {low}")
    if spec.whitening not in whiten.KINDS:
        raise InputError(
            f"data.whitening {spec.whitening!r} is unknown; known: "
            f"{', '.join(whiten.KINDS)}"
        )


def _limit(split: Split, limit: int | None, classes: int, field: str) -> Split:
    """A seeded subset with the classes as equal in number as they can be.

    Smaller limits give subsets of larger ones; the order of the rows is kept.
    """
    image, label = split
    if limit is None or limit >= len(image):
        return split
    if limit < classes and field == "train_limit":
        raise InputError(
            f"data.train_limit is {limit}, but there are {classes} classes; it must "
            "be at least one image per class"
        )
    rng = np.random.default_rng(_SEED)
    group = np.zeros(len(image), np.int32) if label is None else label
    turn = np.zeros(len(image), np.int64)  # the k-th drawn of its class
    for c in np.unique(group):
        turn[group == c] = rng.permutation(np.count_nonzero(group == c))
    rows = np.sort(np.lexsort((rng.random(len(image)), turn))[:limit])
    return image[rows], None if label is None else label[rows]


def _shape(split: Split, spec: DataSpec) -> Split:
    """Pads with zeros, then average-pools, rounding halves up."""
    image, label = split
    pad, pool = spec.pad, spec.pool
    image = np.pad(image, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    if pool == 1:
        return image, label
    n, h, w, c = image.shape
    if h % pool or w % pool:
        raise InputError(
            f"data.pool is {pool}, which does not divide the padded image of {h}x{w}; "
            "change data.pad or data.pool"
        )
    blocks = image.reshape(n, h // pool, pool, w // pool, pool, c)
    total = blocks.sum((2, 4), dtype=np.uint32)
    return ((total + pool * pool // 2) // (pool * pool)).astype(np.uint8), label
