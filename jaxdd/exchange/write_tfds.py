"""A prepared TFDS data set, written as ArrayRecord without TensorFlow.

TFDS itself prepares data with TensorFlow only because it encodes images with it; here
they are encoded already, and its serialiser needs none.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from jaxdd import files
from jaxdd.exchange.table import Table

__all__ = ["write"]

_NAME, _VERSION, _KIND = "distilled", "1.0.0", "array_record"
_TEMPLATE = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}"


def write(folder: Path, table: Table) -> None:
    """Writes features, records and their description.

    Features: image, label where there are classes, weight, and soft_label or target.
    """
    from array_record.python.array_record_module import ArrayRecordWriter
    from google.protobuf import json_format
    from tensorflow_datasets.core.example_serializer import ExampleSerializer
    from tensorflow_datasets.core.proto import dataset_info_pb2

    features = _features(table)
    features.save_config(os.fspath(folder))
    serializer = ExampleSerializer(features.get_serialized_info())
    records = [serializer.serialize_example(row) for row in _rows(table)]
    file = folder / f"{_NAME}-train.{_KIND}-00000-of-00001"
    writer = ArrayRecordWriter(os.fspath(file), "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()
    split = dataset_info_pb2.SplitInfo(
        name="train",
        num_bytes=sum(map(len, records)),
        shard_lengths=[len(records)],
        filepath_template=_TEMPLATE,
    )
    info = dataset_info_pb2.DatasetInfo(
        name=_NAME, version=_VERSION, file_format=_KIND, splits=[split]
    )
    if table.label is not None:
        keys = dataset_info_pb2.SupervisedKeys(input="image", output="label")
        info.supervised_keys.CopyFrom(keys)
    text = json_format.MessageToJson(info)
    files.write_atomic(
        folder / "dataset_info.json", lambda handle: handle.write(text.encode())
    )


def _features(table: Table) -> Any:
    import tensorflow_datasets as tfds

    kinds: dict[str, Any] = {
        "image": tfds.features.Image(shape=table.shape, encoding_format="png")
    }
    if table.label is not None:
        kinds["label"] = tfds.features.ClassLabel(names=list(table.class_names))
    kinds["weight"] = tfds.features.Scalar(dtype=np.float32)
    if table.wide is not None:
        shape = table.wide.shape[1:]
        kinds[table.wide_name] = tfds.features.Tensor(shape=shape, dtype=np.float32)
    return tfds.features.FeaturesDict(kinds)


def _rows(table: Table) -> list[dict[str, Any]]:
    """The examples as TFDS stores them."""
    rows: list[dict[str, Any]] = []
    for position, data in enumerate(table.png):
        row: dict[str, Any] = {"image": data, "weight": table.weight[position]}
        if table.label is not None:
            row["label"] = int(table.label[position])
        if table.wide is not None:
            row[table.wide_name] = table.wide[position]
        rows.append(row)
    return rows
