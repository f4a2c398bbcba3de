"""The published trajectories of MTT, TESLA, FTD and DATM (`replay_buffer_N.pt`).

A file is a list of experts, each a list of snapshots, each a list of parameter tensors
in the order of the PyTorch module. Nothing in a file is executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdd import files
from jaxdd.base import Corpus
from jaxdd.errors import InputError
from jaxdd.foreign import torch_file
from jaxdd.networks.ordered import TorchOrder, torch_order
from jaxdd.prepare.expert_recorder import Recorder
from jaxdd.records import Experts

__all__ = ["buffer_files", "buffers_identity", "import_buffers"]

_NUMBERED = re.compile(r"replay_buffer_(\d+)\.pt")


def buffer_files(path: Path) -> list[Path]:
    """The file itself, or the numbered files of a folder in their order.

    Raises:
      InputError: there is no such file or folder, or it holds no trajectories.
    """
    path = path.expanduser()
    if path.is_file():
        return [path]
    found = {}
    for entry in path.iterdir() if path.is_dir() else ():
        match = _NUMBERED.fullmatch(entry.name)
        if match:
            found[int(match.group(1))] = entry
    if not found:
        raise InputError(
            f"experts.buffers={str(path)!r}: expected a replay_buffer_N.pt, a folder "
            "of such files, or a folder of trajectories recorded by jaxdd"
        )
    return [found[number] for number in sorted(found)]


def buffers_identity(experts: Experts) -> list[str]:
    """The files' content, which decides the trajectories; empty where none is given."""
    if experts.buffers is None:
        return []
    return [files.hash_file(path) for path in buffer_files(experts.buffers)]


def import_buffers(experts: Experts, corpus: Corpus, recorder: Recorder) -> None:
    """Records the published trajectories; memory of one file.

    Args:
      experts: `buffers` says where they are, `network` what they are of, `count` and
        `epochs` how much of them is used.
      corpus: says the images' shape and the classes.
      recorder: gets the snapshots.

    Raises:
      InputError: a file is damaged or of another network, or there are too few
        experts or epochs.
    """
    assert experts.buffers is not None
    order = torch_order(experts.network, corpus.image_shape, corpus.num_classes)
    expert = 0
    for path in buffer_files(experts.buffers):
        if expert == experts.count:
            break
        for trajectory in _read(path)[: experts.count - expert]:
            where = f"{path}, expert {expert}"
            rows = _snapshots(trajectory, experts.epochs, order, where)
            recorder.write(expert, 0, rows)
            recorder.finish({expert: None})
            expert += 1
    if expert < experts.count:
        raise InputError(
            f"experts.count={experts.count}: {experts.buffers} holds {expert} experts;"
            f" set it to at most {expert}"
        )


def _read(path: Path) -> Sequence[Any]:
    tree = torch_file.read(path)
    if not isinstance(tree, list) or not all(isinstance(one, list) for one in tree):
        raise InputError(
            f"{path} is no list of trajectories but {type(tree).__name__}; expected "
            "what MTT's buffer.py writes"
        )
    return tree


def _snapshots(
    trajectory: Sequence[Any], epochs: int, order: TorchOrder, where: str
) -> np.ndarray:
    """float32 [epochs + 1, parameters] of one expert."""
    if len(trajectory) < epochs + 1:
        raise InputError(
            f"experts.epochs={epochs}: {where} has {len(trajectory)} snapshots, so set "
            f"it to at most {len(trajectory) - 1}"
        )
    rows = [_flat(one, order, where) for one in trajectory[: epochs + 1]]
    if epochs and all(np.array_equal(rows[0], row) for row in rows[1:]):
        raise InputError(
            f"{where}: all its snapshots are equal. The authors' program, run on a "
            "CPU, keeps one tensor in place of copies; record with .clone()"
        )
    return np.stack(rows)


def _flat(snapshot: Any, order: TorchOrder, where: str) -> np.ndarray:
    """One snapshot in the order of the network here."""
    tensors = list(_tensors(snapshot, where))
    shapes = tuple(tensor.shape for tensor in tensors)
    if shapes != order.shapes:
        raise InputError(f"{where}: {_difference(shapes, order.shapes)}")
    joined = np.concatenate([tensor.reshape(-1) for tensor in tensors])
    flat = joined.astype(np.float32)[order.index]
    if not np.isfinite(flat).all():
        raise InputError(f"{where}: a snapshot holds numbers that are not finite")
    return flat


def _tensors(snapshot: Any, where: str) -> Iterator[np.ndarray]:
    if not isinstance(snapshot, list):
        raise InputError(f"{where}: a snapshot is {type(snapshot).__name__}, no list")
    for tensor in snapshot:
        if not isinstance(tensor, np.ndarray) or tensor.dtype.kind != "f":
            raise InputError(f"{where}: a snapshot holds {type(tensor).__name__}")
        yield tensor


def _difference(theirs: tuple, ours: tuple) -> str:
    """The first tensor that does not fit."""
    if len(theirs) != len(ours):
        detail = f"it has {len(theirs)} tensors and the network here {len(ours)}"
    else:
        place = next(
            i
            for i, pair in enumerate(zip(theirs, ours, strict=True))
            if pair[0] != pair[1]
        )
        detail = (
            f"its tensor {place} is {list(theirs[place])} and the network's "
            f"{list(ours[place])}"
        )
    return (
        f"these are experts of another network: {detail}. Set experts.network (width, "
        "depth, norm) and the data's image size to theirs"
    )
