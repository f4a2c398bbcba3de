"""Makes `tests/data/tfds_small`, a prepared TFDS data set of twelve images.

Run it from the repository's root: `python -m tests.data.make_tfds_small`. TFDS itself
cannot write images without TensorFlow, so the records are serialised here.
"""

import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parent / "tfds_small"
NAMES = ("circle", "square", "triangle")
COUNTS = {"train": 8, "test": 4}


def images(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The images uint8 [n,8,8,3] and labels [n] of a split."""
    rng = np.random.default_rng(list(COUNTS).index(split))
    count = COUNTS[split]
    label = np.arange(count) % len(NAMES)
    return rng.integers(0, 256, (count, 8, 8, 3)).astype(np.uint8), label


def encode(image: np.ndarray, kind: str = "PNG") -> bytes:
    """An image as an encoded file."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, kind)
    return stream.getvalue()


def write(folder: Path, features, rows, name: str = "small", kind="array_record"):
    """Writes a prepared data set; `rows` are encoded examples by split."""
    from array_record.python.array_record_module import ArrayRecordWriter
    from google.protobuf import json_format
    from tensorflow_datasets.core.example_serializer import ExampleSerializer
    from tensorflow_datasets.core.proto import dataset_info_pb2

    folder.mkdir(parents=True)
    features.save_config(os.fspath(folder))
    serializer = ExampleSerializer(features.get_serialized_info())
    splits = []
    for split, examples in rows.items():
        records = [serializer.serialize_example(example) for example in examples]
        path = folder / f"{name}-{split}.{kind}-00000-of-00001"
        writer = ArrayRecordWriter(os.fspath(path), "group_size:1")
        for record in records:
            writer.write(record)
        writer.close()
        splits.append(
            dataset_info_pb2.SplitInfo(
                name=split,
                num_bytes=sum(map(len, records)),
                shard_lengths=[len(records)],
                filepath_template="{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            )
        )
    info = dataset_info_pb2.DatasetInfo(
        name=name, version="1.0.0", file_format=kind, splits=splits
    )
    (folder / "dataset_info.json").write_text(json_format.MessageToJson(info))


def examples(split: str) -> list[dict]:
    """The examples of a split as TFDS stores them."""
    return [
        {"image": encode(image), "label": int(label)}
        for image, label in zip(*images(split), strict=True)
    ]


def main() -> None:
    """Writes the committed data set."""
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(8, 8, 3), encoding_format="png"),
            "label": tfds.features.ClassLabel(names=NAMES),
        }
    )
    rows = {split: examples(split) for split in COUNTS}
    write(HERE / "small" / "1.0.0", features, rows)


if __name__ == "__main__":
    main()
