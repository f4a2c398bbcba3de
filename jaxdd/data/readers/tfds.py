"""Reads prepared data sets of TensorFlow Datasets without TensorFlow."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdd import files
from jaxdd.data.readers.decode import decode_all
from jaxdd.data.readers.folders import LARGEST, alike, left_out
from jaxdd.data.readers.tfds_find import FORMAT, find, first_line
from jaxdd.data.source import Arrays, Progress
from jaxdd.data.split import hold_out
from jaxdd.errors import InputError
from jaxdd.records import DataSpec

__all__ = ["read", "read_numbers"]

_BATCH = 256


class _Split(NamedTuple):
    """Decoded images, what they are called, and their labels (-1: none)."""

    pixels: list[np.ndarray]
    names: list[str]
    label: np.ndarray
    notes: list[str]


class _Keys(NamedTuple):
    """Which entries of an example are the image and the label."""

    image: str
    label: str | None


def read(name: str, path: Path | None, spec: DataSpec, progress: Progress) -> Arrays:
    """Reads the images and labels of a prepared data set, resized as `spec` says.

    Args:
      name: as TFDS has it: `name`, `name/configuration`, `name:version`.
      path: a folder that `find` takes.
      spec: size, and what to do with images that do not decode.
      progress: told of every image.

    Returns:
      x_train, x_test uint8 [n,h,w,c], y_train, y_test and class_names where there are
      labels, and notes. The test arrays are those of the split `test`, or else of
      `validation`, or else a share of the training split (`hold_out`).

    Raises:
      InputError: it is not prepared, or not as ArrayRecord, or damaged; it has no
        image, or several and nothing that says which; sizes differ without `resize`.
    """
    place = find(name, path)
    builder = _open(place)
    keys = _keys(builder.info, place)
    splits = {
        split: _read_split(builder, stored, keys, place, spec, progress)
        for split, stored in _splits(builder.info, place).items()
    }
    notes = [note for split in splits.values() for note in split.notes]
    arrays: Arrays = {"notes": np.array(notes, str)}
    pixels = [image for split in splits.values() for image in split.pixels]
    names = [name for split in splits.values() for name in split.names]
    rows = iter(alike(pixels, names, place))
    for name, split in splits.items():
        arrays[f"x_{name}"] = np.stack([next(rows) for _ in split.pixels])
        if keys.label:
            arrays[f"y_{name}"] = split.label
    if keys.label:
        feature = builder.info.features[keys.label]
        arrays["class_names"] = np.array(list(map(str, feature.names or ())), str)
    return hold_out(arrays, spec, str(place))


def read_numbers(place: Path) -> Arrays:
    """The training split's other features: numbers and vectors of numbers, by name.

    Args:
      place: the folder that `features.json` lies in.

    Returns:
      float32 [n] or [n,d].

    Raises:
      InputError: as `read`.
    """
    from tensorflow_datasets import decode

    builder = _open(place)
    keys = _keys(builder.info, place)
    features = sorted(builder.info.features.items())
    names = [name for name, feature in features if _is_numbers(feature)]
    try:
        skip = {keys.image: decode.SkipDecoding()}
        source = builder.as_data_source(split="train", decoders=skip)
        examples = source.__getitems__(list(range(len(source)))) if names else []
        columns = {name: [example[name] for example in examples] for name in names}
        return {name: np.array(rows, np.float32) for name, rows in columns.items()}
    except Exception as error:  # of ArrayRecord, or of the examples' parser
        raise _damaged(place, error) from error


def _open(place: Path) -> Any:
    """The builder of a prepared data set."""
    info = files.read_json(place / "dataset_info.json")
    if not isinstance(info, dict):
        raise InputError(f"{place / 'dataset_info.json'} describes no data set")
    formats = [info.get("fileFormat", "tfrecord")]
    formats += info.get("alternativeFileFormats") or []
    if FORMAT not in formats:
        raise InputError(
            f"{place} is prepared as {formats[0]}, which TensorFlow alone reads; "
            f"prepare it in another folder with --file_format={FORMAT}"
        )
    try:
        import tensorflow_datasets as tfds

        builder = tfds.builder_from_directory(os.fspath(place), file_format=FORMAT)
        if not builder.info.features:
            raise ValueError("features.json names no features")
        return builder
    except Exception as error:  # damaged descriptions raise whatever comes up
        raise _damaged(place, error) from error


def _keys(info: Any, place: Path) -> _Keys:
    """The only image and the only label, or those that the data set names."""
    from tensorflow_datasets import features as kinds

    if not isinstance(info.features, kinds.FeaturesDict):
        raise InputError(f"{place}: its examples have no named entries")
    features = sorted(info.features.items())
    images = [name for name, feature in features if _is_image(feature)]
    labels = [name for name, f in features if isinstance(f, kinds.ClassLabel)]
    named = info.supervised_keys or ()
    if len(named) == 2 and named[0] in images and named[1] in labels:
        return _Keys(*named)
    if len(images) != 1 or len(labels) > 1:
        raise InputError(
            f"{place}: the images of an example are {', '.join(images) or 'none'}, its "
            f"labels {', '.join(labels) or 'none'}; data sets with one uint8 image and "
            "at most one label are read"
        )
    return _Keys(images[0], labels[0] if labels else None)


def _is_image(feature: Any) -> bool:
    """Whether it is a picture: a map of labels is an image too in TFDS."""
    from tensorflow_datasets import features as kinds

    plain = isinstance(feature, kinds.Image)
    plain = plain and not isinstance(feature, kinds.LabeledImage)
    return plain and feature.np_dtype == np.uint8


def _is_numbers(feature: Any) -> bool:
    """Whether it is a number or a vector of numbers, as soft labels are."""
    from tensorflow_datasets import features as kinds

    about: Any = feature
    plain = isinstance(feature, kinds.Tensor) and len(about.shape) < 2
    return plain and np.issubdtype(about.np_dtype, np.floating)


def _splits(info: Any, place: Path) -> dict[str, str]:
    """Which of the stored splits is the training, and which the test split."""
    stored = list(info.splits)
    if "train" not in stored:
        raise InputError(
            f"{place} has no split 'train'; it has {', '.join(stored) or 'none'}"
        )
    test = next((name for name in ("test", "validation") if name in stored), None)
    return {"train": "train"} | ({"test": test} if test else {})


def _read_split(
    builder: Any,
    stored: str,
    keys: _Keys,
    place: Path,
    spec: DataSpec,
    progress: Progress,
) -> _Split:
    from tensorflow_datasets import decode

    try:
        skip = {keys.image: decode.SkipDecoding()}
        source = builder.as_data_source(split=stored, decoders=skip)
        count = len(source)
    except Exception as error:  # as of a missing shard
        raise _damaged(place, error) from error
    if not count:
        raise InputError(f"{place}: the split {stored!r} is empty")
    label: list[int] = []
    with progress(f"{place.parent.name}: decode {stored}", count, "image") as advance:
        decoded = decode_all(
            _images(source, keys, stored, place, label),
            side=spec.resize,
            mode=spec.resize_mode,
            limit=LARGEST,
            advance=advance,
        )
    notes = left_out(decoded, spec, place)
    if not decoded.names:
        raise InputError(f"{place}: no image of the split {stored!r} decodes")
    rows = [int(name.rpartition(" ")[2]) for name in decoded.names]
    feature = builder.info.features[keys.label] if keys.label else None
    _check_labels(label, feature, f"{place}: split {stored!r}")
    chosen = np.array(label, np.int32)[rows] if keys.label else np.zeros(0, np.int32)
    return _Split(decoded.pixels, decoded.names, chosen, notes)


def _images(
    source: Any, keys: _Keys, stored: str, place: Path, label: list[int]
) -> Iterator[tuple[str, bytes]]:
    """Encoded images by split and number; their labels are put aside."""
    for start in range(0, len(source), _BATCH):
        rows = list(range(start, min(start + _BATCH, len(source))))
        try:
            examples = source.__getitems__(rows)
            images = [bytes(example[keys.image]) for example in examples]
            if keys.label:
                label += [int(example[keys.label]) for example in examples]
        except Exception as error:  # of ArrayRecord, or of the examples' parser
            raise _damaged(place, error) from error
        for row, image in zip(rows, images, strict=True):
            yield f"{stored} {row}", image


def _check_labels(label: list[int], feature: Any, where: str) -> None:
    wrong = [n for n in label if not 0 <= n < feature.num_classes]
    if wrong:
        raise InputError(
            f"{where}: {len(wrong)} labels such as {wrong[0]} are outside 0 to "
            f"{feature.num_classes - 1}"
        )


def _damaged(place: Path, error: Exception) -> InputError:
    return InputError(
        f"{place} cannot be read, it may be damaged: {first_line(error)}. Prepare it "
        "again"
    )
