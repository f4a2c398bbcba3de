"""Sets that other projects saved with `torch.save`, read without PyTorch.

Layouts, from the projects' own programs: a dict whose `data` lists pairs of images and
labels, one for each experiment (DC, DSA, DM: VICO-UoE/DatasetCondensation); a tensor of
images with labels and learning rate in files beside it (MTT, TESLA, FTD, DATM, and
DC-BENCH's random and k-means sets); one pair (IDC, NCFM); pairs or triples with a
learning rate, one for each step (DD, as DC-BENCH reads it); named tensors.
"""

from pathlib import Path
from typing import Any

import numpy as np

from jaxdd.errors import InputError
from jaxdd.exchange.raw import Raw, from_named, number
from jaxdd.foreign import torch_file

__all__ = ["beside", "of_name", "read"]

_BESIDE = {
    "label": (("images", "labels"), ("image", "label"), ("data", "targets")),
    "rate": (("images", "lr"), ("image", "lr"), ("data", "lr")),
}


def read(path: Path, index: int = -1) -> Raw:
    """What a `.pt` or `.pth` file holds, with the files that belong to it.

    Args:
      path: of the images, or of everything.
      index: which of several sets in the file; the other projects' own readers take
        the last.

    Raises:
      InputError: the file is damaged, holds code (nothing is run), or has a layout
        that is not known.
    """
    tree, where = torch_file.read(path), str(path)
    method, dataset = of_name(path)
    raw = _interpret(tree, path, where, index)
    raw = raw._replace(order=raw.order or "nchw", dataset=dataset)
    return raw._replace(method=method or raw.method)


def beside(path: Path, what: str) -> Path | None:
    """The file of labels (`label`) or the learning rate (`rate`) that goes with images.

    The names differ by one word, such as `images_best.pt` and `labels_best.pt`; those
    of `images_zca_100.pt` are `labels_100.pt`.
    """
    name = path.name.replace("images_zca_", "images_")
    for old, new in _BESIDE[what]:
        other = path.with_name(name.replace(old, new))
        if old in name and other.is_file():
            return other
    return None


def of_name(path: Path) -> tuple[str, str]:
    """Method and data set from names such as res_DM_CIFAR10_ConvNet_10ipc, or ""."""
    parts = path.stem.split("_")
    if len(parts) >= 4 and parts[0] == "res":
        return parts[1].lower(), parts[2].lower()
    if len(parts) >= 4 and parts[0] == "kip":
        return "kip", parts[1].lower()
    if path.name == "best.npz" and path.parent.name.isdecimal():  # RFAD: data/ipc/
        name = path.parent.parent.name.lower()
        return "", {"fashion": "fashion_mnist"}.get(name, name)
    return "", ""


def _interpret(tree: Any, path: Path, where: str, index: int) -> Raw:
    if isinstance(tree, np.ndarray):
        return _tensor(tree, path)
    if isinstance(tree, dict) and isinstance(tree.get("data"), list | tuple):
        return _experiments(tree["data"], where, index)
    if isinstance(tree, dict):
        return from_named(tree, where, "named tensors")
    if isinstance(tree, list | tuple) and tree:
        if all(isinstance(part, np.ndarray) for part in tree):
            return _pair(tree, where)._replace(layout="pair", space="none")
        if all(isinstance(part, list | tuple) for part in tree):
            return _steps(tree, where, index)
    raise InputError(
        f"{where} holds {_kind(tree)}; known are a tensor of images, [images, labels], "
        "{'data': [[images, labels], ...]} and tensors by name"
    )


def _experiments(sets: Any, where: str, index: int) -> Raw:
    """The layout of DC, DSA and DM: images normalised by channel, hard labels."""
    found = _pair(_chosen(sets, where, index), where)
    notes = _note(len(sets), index)
    return found._replace(layout="vico", space="vico", notes=notes)


def _steps(sets: Any, where: str, index: int) -> Raw:
    """A list of (images, labels) or (images, labels, rate)."""
    found = _pair(_chosen(sets, where, index), where)
    return found._replace(layout="pairs", notes=_note(len(sets), index))


def _tensor(image: np.ndarray, path: Path) -> Raw:
    """Images alone: labels and rate lie beside them."""
    label, rate = beside(path, "label"), beside(path, "rate")
    if label is None:
        raise InputError(
            f"{path} holds images {list(image.shape)} alone, and there are no labels "
            f"beside it; put them into {_wanted(path)}"
        )
    # The program of MTT names the images that it has brought back from ZCA to pixels
    # images_zca_*; DC-BENCH says normalize of what is normalised by channel.
    space = "none" if path.name.startswith("images_zca") else ""
    space = "vico" if "_normalize_" in path.name else space
    target = torch_file.read(label)
    if not isinstance(target, np.ndarray):
        raise InputError(f"{label} holds {_kind(target)}; a tensor of labels is wanted")
    learned = number(torch_file.read(rate), str(rate)) if rate else None
    return Raw(image, target, "mtt", space, rate=learned)


def _wanted(path: Path) -> str:
    for old, new in _BESIDE["label"]:
        if old in path.name:
            return path.name.replace(old, new)
    return f"labels_{path.name}, and name this file images_{path.name}"


def _pair(parts: Any, where: str) -> Raw:
    """Images and labels, maybe with a learning rate."""
    arrays = isinstance(parts, list | tuple) and len(parts) in (2, 3)
    if not arrays or not all(isinstance(part, np.ndarray) for part in parts[:2]):
        raise InputError(
            f"{where}: {_kind(parts)} in place of a pair of images and labels"
        )
    rate = number(parts[2], f"{where}: learning rate") if len(parts) == 3 else None
    return Raw(parts[0], parts[1], "pair", rate=rate)


def _chosen(sets: Any, where: str, index: int) -> Any:
    if not -len(sets) <= index < len(sets):
        raise InputError(
            f"{where} holds {len(sets)} sets, and number {index} is asked for; give 0 "
            f"to {len(sets) - 1}, or -1 for the last"
        )
    return sets[index]


def _note(count: int, index: int) -> tuple[str, ...]:
    if count == 1:
        return ()
    which = "the last" if index == -1 else f"number {index}"
    return (f"the file holds {count} sets; {which} is read",)


def _kind(value: Any) -> str:
    size = f" of {len(value)}" if isinstance(value, list | tuple | dict) else ""
    return f"{type(value).__name__}{size}"
