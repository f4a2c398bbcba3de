"""Reads Parquet files of images, laid out as Hugging Face's `datasets` has them.

An image is a struct of its encoded bytes and a path, or the bytes alone; the labels'
names stand in the schema's metadata. Splits are told by the names of the files.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxdd.data.readers.decode import decode_all
from jaxdd.data.readers.folders import LARGEST, alike, left_out
from jaxdd.data.source import Arrays, Progress
from jaxdd.data.split import hold_out
from jaxdd.errors import InputError
from jaxdd.records import DataSpec

__all__ = ["Columns", "columns", "find", "read", "read_rows"]

_LABELS = ("label", "labels", "fine_label", "class", "target", "y")
_TEST = ("test", "validation", "valid", "val")
_ROWS = 512  # at a time


class Columns(NamedTuple):
    """What the columns of a file are; None where there is no such column.

    `vectors` are the columns of lists of numbers, `scalars` those of other numbers.
    """

    image: str
    label: str | None
    class_names: tuple[str, ...]
    vectors: tuple[str, ...]
    scalars: tuple[str, ...]


def find(path: Path) -> dict[str, list[Path]]:
    """The Parquet files of each split (`train`, `test`) under a path.

    Files whose names begin with a test split's are the test split, or the validation
    split where there is none; all others are the training split.

    Raises:
      InputError: there are none.
    """
    path = Path(path)
    there = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
    there = [file for file in there if not file.name.startswith(".")]
    groups: dict[str, list[Path]] = {}
    for file in there:
        begins = file.name.lower().startswith
        kind = next((name for name in _TEST if begins(name)), "train")
        groups.setdefault(kind, []).append(file)
    if "train" not in groups:
        raise InputError(f"{path} holds no Parquet files of a training split")
    test = next((groups[name] for name in _TEST if name in groups), None)
    return {"train": groups["train"]} | ({"test": test} if test else {})


def read(path: Path, spec: DataSpec, progress: Progress) -> Arrays:
    """Reads images and labels from a Parquet file or a folder of some.

    Args:
      path: the file or the folder.
      spec: size, held-out share and what to do with images that do not decode.
      progress: told of every decoded image.

    Returns:
      As `data.source.Arrays`, with class_names where the file has them.

    Raises:
      InputError: no images, a damaged file, sizes that differ without `resize`.
    """
    arrays: Arrays = {}
    notes: list[str] = []
    for split, group in find(path).items():
        rows, about = read_rows(group, spec, progress, notes)
        arrays[f"x_{split}"] = rows["image"]
        if about.label:
            arrays[f"y_{split}"] = rows[about.label].astype(np.int32)
            arrays["class_names"] = np.array(about.class_names, str)
    arrays["notes"] = np.array(notes, str)
    return hold_out(arrays, spec, str(path))


def read_rows(
    group: list[Path], spec: DataSpec, progress: Progress, notes: list[str]
) -> tuple[Arrays, Columns]:
    """All rows of some files: `image` uint8 [n,h,w,c], and every other column of
    numbers by its name.

    Args:
      group: files of one kind.
      spec: as in `read`.
      progress: as in `read`.
      notes: gets a line for what was left out.

    Raises:
      InputError: as `read`.
    """
    about = columns(group[0])
    named = [about.label] if about.label else []
    wanted = [*named, *about.vectors, *about.scalars]
    others: dict[str, list[Any]] = {name: [] for name in wanted}
    with progress(f"decode {group[0].parent.name}", 0, "image") as advance:
        decoded = decode_all(
            _images(group, about, others),
            side=spec.resize,
            mode=spec.resize_mode,
            limit=LARGEST,
            advance=advance,
        )
    notes += left_out(decoded, spec, group[0])
    if not decoded.names:
        raise InputError(f"{group[0]} holds no image that decodes")
    rows = [int(name.rpartition(" ")[2]) for name in decoded.names]
    arrays = {n: _column(n, v, group[0])[rows] for n, v in others.items()}
    if about.label:
        _check_labels(arrays[about.label], about, group[0])
    image = np.stack(alike(decoded.pixels, decoded.names, group[0]))
    return {"image": image} | arrays, about


def columns(path: Path) -> Columns:
    """Finds the image, the label and the other numbers among a file's columns.

    Raises:
      InputError: no image, or several; the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    images = [field.name for field in schema if _is_image(field.type)]
    if len(images) != 1:
        raise InputError(
            f"{path}: columns of images are {', '.join(images) or 'none'}, of "
            f"{', '.join(schema.names)}; exactly one is read (a struct with 'bytes', "
            "or bytes)"
        )
    whole = [field.name for field in schema if pa.types.is_integer(field.type)]
    label = next((name for name in _LABELS if name in whole), None)
    vectors = [f.name for f in schema if _is_vector(f.type)]
    scalars = [f.name for f in schema if pa.types.is_floating(f.type)]
    names = _class_names(schema, label)
    return Columns(images[0], label, names, tuple(vectors), tuple(scalars))


def _is_image(kind: Any) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _is_vector(kind: Any) -> bool:
    import pyarrow as pa

    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in lists) and pa.types.is_floating(kind.value_type)


def _class_names(schema: Any, label: str | None) -> tuple[str, ...]:
    """The names that Hugging Face's metadata give the labels."""
    try:
        about = json.loads((schema.metadata or {})[b"huggingface"])
        return tuple(map(str, about["info"]["features"][label]["names"]))
    except (KeyError, ValueError, TypeError):
        return ()


def _images(
    group: list[Path], about: Columns, others: dict[str, list[Any]]
) -> Iterator[tuple[str, bytes]]:
    """Encoded images by file and row; the other columns are put aside."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    for path in group:
        try:
            with pq.ParquetFile(path) as file:
                wanted = [about.image, *others]
                for batch in file.iter_batches(_ROWS, columns=wanted):
                    for name, values in others.items():
                        values += batch.column(name).to_pylist()
                    for value in batch.column(about.image).to_pylist():
                        yield f"{path.name} row {row}", _encoded(value)
                        row += 1
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            raise _damaged(path, error) from error


def _encoded(value: Any) -> bytes:
    """The bytes of an image; one that is only a path is never opened."""
    data = value.get("bytes") if isinstance(value, dict) else value
    return data if isinstance(data, bytes) else b""


def _column(name: str, values: list[Any], path: Path) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise _damaged(path, f"rows of {name!r} differ in length") from error
    if array.dtype.kind not in "iuf":
        raise _damaged(path, f"{name!r} has rows without numbers")
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _check_labels(label: np.ndarray, about: Columns, path: Path) -> None:
    most = len(about.class_names) or 2**31
    wrong = label[(label < 0) | (label >= most)]
    if len(wrong):
        raise InputError(
            f"{path}: {len(wrong)} labels such as {wrong[0]} are outside 0 to "
            f"{most - 1}; files without labels must leave the column out"
        )


def _damaged(path: Path, why: object) -> InputError:
    return InputError(f"{path} cannot be read, it may be damaged: {str(why)[:300]}")
