"""Parquet as Hugging Face's `datasets` loads it: typed features in the metadata."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from jaxdd.exchange.table import Table

__all__ = ["write"]

_FILE = "data/train-00000-of-00001.parquet"


def write(folder: Path, table: Table) -> None:
    """Writes `data/train-00000-of-00001.parquet`.

    Columns: image (bytes and path), label (a class with names), weight, and soft_label
    or target, lists of float32.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [f"{row:06d}.png" for row in range(len(table.png))]
    image = [{"bytes": d, "path": n} for d, n in zip(table.png, names, strict=True)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns: dict[str, Any] = {"image": pa.array(image, kind)}
    if table.label is not None:
        columns["label"] = pa.array(table.label.astype(np.int64))
    columns["weight"] = pa.array(table.weight)
    if table.wide is not None:
        rows, width = table.wide.shape
        ends = pa.array(np.arange(rows + 1) * width, pa.int32())
        flat = pa.array(table.wide.reshape(-1))
        columns[table.wide_name] = pa.ListArray.from_arrays(ends, flat)
    about = {"info": {"features": _features(table)}}
    (folder / _FILE).parent.mkdir()
    made = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(about)})
    pq.write_table(made, folder / _FILE, compression="zstd")


def _features(table: Table) -> dict[str, Any]:
    """What the columns mean, in the words of `datasets.Features.to_dict`."""
    number = {"dtype": "float32", "_type": "Value"}
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    if table.label is not None:
        features["label"] = {"names": list(table.class_names), "_type": "ClassLabel"}
    features["weight"] = number
    if table.wide is not None:
        features[table.wide_name] = {"feature": number, "_type": "Sequence"}
    return features
