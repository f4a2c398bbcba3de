"""The page that explains an exported set; for Parquet, Hugging Face's dataset card."""

import json
from pathlib import Path

from jaxdd.base import Distilled
from jaxdd.exchange.own import NAME
from jaxdd.exchange.pixels import Loss

__all__ = ["readme"]

_LAYOUT = {
    "folder": (
        "One folder of PNG files a class; `labels.csv` lists each file with its class, "
        "weight and soft label or target, `words.txt` the names of the classes."
    ),
    "parquet": (
        "`data/train-00000-of-00001.parquet`: columns image, label, weight, and "
        "soft_label or target where the set has them. "
        '`datasets.load_dataset("path/of/this/folder")` loads it.'
    ),
    "tfds": (
        "A prepared data set of TensorFlow Datasets, as ArrayRecord. "
        '`tfds.builder_from_directory("path/of/this/folder").as_data_source("train")` '
        "reads it, without TensorFlow."
    ),
}
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))


def readme(distilled: Distilled, format: str, loss: Loss, exact: bool) -> str:
    """The text of README.md.

    Args:
      distilled: the set.
      format: folder, parquet or tfds.
      loss: what its pixels lost.
      exact: whether `set.npz` lies beside them.
    """
    front = _front(distilled) if format == "parquet" else ""
    return front + "\n".join(_body(distilled, format, loss, exact))


def _body(distilled: Distilled, format: str, loss: Loss, exact: bool) -> list[str]:
    meta, size = distilled.meta, len(distilled.synthetic.image)
    shape = "x".join(map(str, meta.image_shape))
    targets = {
        "hard": "one class an image",
        "soft": "soft labels",
        "representation": "a teacher's representations",
    }[meta.label_kind]
    lines = [
        f"# {size} images distilled from {meta.dataset or 'unnamed data'} by "
        f"{meta.method}",
        "",
        f"Synthetic images of {shape}, {meta.num_classes} classes, targets: {targets}. "
        "Written by jaxdd.",
        "",
        _LAYOUT[format],
        "",
        "## What the pictures lose",
        "",
        f"The set lives in a whitened space (`{distilled.whitening.kind}`) without "
        "bounds; the pictures are it un-whitened, clipped to [0,1] and rounded to 8 "
        f"bits. {loss.clipped:.2%} of the pixels were clipped; the change is "
        f"{loss.pixel_error:.4f} (root mean square, of [0,1]), {loss.largest:.3f} at "
        f"most, and {loss.set_error:.2%} of the images' root mean square once they are "
        "whitened again.",
        "",
    ]
    if exact:
        lines += [
            f"`{NAME}` holds the same set without this loss, with its whitening and "
            "protocol; jaxdd reads it when this folder is given as a set "
            "(`--stage evaluate --set FOLDER`), and the pictures when the folder is "
            "given as data (`--data.dir FOLDER`).",
            "",
        ]
    return [*lines, *_judged(distilled)]


def _judged(distilled: Distilled) -> list[str]:
    """What the set reached when it was saved."""
    meta = distilled.meta
    lines = [f"Protocol: `{meta.protocol.name}`, seed {meta.seed}."]
    lines += [f"SHA-256 of the real training data: `{meta.dataset_hash}`."]
    lines += [
        f"- {row.metric}: {row.mean:.4g} ({row.seeds} seeds)"
        for row in meta.rows
        if row.set == meta.method
    ]
    return [*lines, ""]


def _front(distilled: Distilled) -> str:
    """The YAML that the hub reads; JSON strings are YAML strings."""
    meta, size = distilled.meta, len(distilled.synthetic.image)
    title = f"{meta.dataset or 'images'} distilled by {meta.method}"
    category = next((name for most, name in _SIZES if size < most), "100K<n<1M")
    lines = [
        "---",
        f"pretty_name: {json.dumps(title)}",
        *(
            ["task_categories:", "- image-classification"]
            if meta.label_kind != "representation"
            else ["task_categories:", "- image-feature-extraction"]
        ),
        "tags:",
        "- dataset-distillation",
        "- synthetic",
        "- jaxdd",
        "size_categories:",
        f"- {category}",
        "configs:",
        "- config_name: default",
        "  data_files:",
        "  - split: train",
        f"    path: {json.dumps(str(Path('data') / 'train-*'))}",
        "---",
        "",
    ]
    return "\n".join(lines) + "\n"
