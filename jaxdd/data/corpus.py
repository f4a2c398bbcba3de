"""From arrays to a `Corpus`: limits, padding, pooling, whitening, content hash.

Every data set passes through `dataset_from_arrays`, whatever it was read from.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxdd import files, whiten
from jaxdd.base import Corpus, Dataset
from jaxdd.data.check import Split, check_pair, check_split, count_classes
from jaxdd.data.images import convert
from jaxdd.errors import InputError, check_choices, check_numbers
from jaxdd.records import DataSpec

__all__ = ["build", "dataset_from_arrays"]

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
    classes = count_classes(train[1], f"{name}: train", class_names)
    if test is not None:
        test = check_split(*test, f"{name}: test")
        check_pair(train, test, name)
    train = _shape(_limited(train, spec, "train_limit", classes), spec)
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
    test = _shape(_limited(test, spec, "test_limit", classes), spec)
    return Dataset(finish(train), finish(test))


def _check_spec(spec: DataSpec) -> None:
    counts = ("train_limit", "test_limit", "pool")
    check_numbers(spec, counts=counts, not_negative=("pad",), name="data")
    check_choices(spec, "data")


def _limited(split: Split, spec: DataSpec, field: str, classes: int) -> Split:
    """At most as many rows as the setting `field` says, in their order."""
    (image, label), limit = split, getattr(spec, field)
    if limit is None or limit >= len(image):
        return split
    if limit < classes and field == "train_limit":
        raise InputError(
            f"data.train_limit is {limit}, but there are {classes} classes; it must "
            "be at least one image per class"
        )
    rows = np.arange(limit)
    if spec.limit_takes == "balanced":
        rows = _balanced(len(image), label, limit)
    elif field == "train_limit" and classes:
        there = 0 if label is None else len(np.unique(label[rows]))
        if there < classes:
            raise InputError(
                f"data.train_limit is {limit}, but the first {limit:,} images are of "
                f"{there} of the {classes} classes; give a larger one, or "
                "--data.limit-takes balanced"
            )
    return image[rows], None if label is None else label[rows]


def _balanced(size: int, label: np.ndarray | None, limit: int) -> np.ndarray:
    """Rows of a seeded subset with the classes as equal in number as they can be.

    Smaller limits give subsets of larger ones.
    """
    rng = np.random.default_rng(_SEED)
    group = np.zeros(size, np.int32) if label is None else label
    turn = np.zeros(size, np.int64)  # the k-th drawn of its class
    for c in np.unique(group):
        turn[group == c] = rng.permutation(np.count_nonzero(group == c))
    return np.sort(np.lexsort((rng.random(size), turn))[:limit])


def _shape(split: Split, spec: DataSpec) -> Split:
    """Converts the channels, pads with zeros, average-pools, rounding halves up."""
    image, label = convert(split[0], spec.channels), split[1]
    pad, pool = spec.pad, spec.pool
    if pad:
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
