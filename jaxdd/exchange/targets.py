"""The labels of somebody's set: classes, soft rows, and their numbering."""

import re
from typing import Literal, NamedTuple

import numpy as np

from jaxdd.base import Corpus
from jaxdd.errors import InputError
from jaxdd.exchange.raw import Raw
from jaxdd.records import Protocol

__all__ = ["Choice", "Targets", "resolve"]

Choice = Literal["auto", "hard", "soft"]


class Targets(NamedTuple):
    """The targets of a set: `value` int32 [m] or float32 [m,k]; `label` int32 [m]."""

    value: np.ndarray
    label: np.ndarray
    num_classes: int
    class_names: tuple[str, ...]
    notes: tuple[str, ...]


def resolve(
    raw: Raw,
    count: int,
    *,
    corpus: Corpus | None,
    num_classes: int | None,
    choice: Choice,
    protocol: Protocol,
    where: str,
) -> Targets:
    """Checks labels, and decides between classes and soft rows.

    One-hot rows are classes. Other rows stay soft, unless the protocol's loss is the
    cross-entropy of probabilities and they are none (centred rows of KIP and FRePo,
    logits of DATM): then the highest entry is the class, as in DC-BENCH.

    Args:
      raw: what the file holds.
      count: m, the number of images.
      corpus: real data, whose classes these must be.
      num_classes: k, where neither the data nor the rows say it.
      choice: hard and soft decide, whatever the rows are.
      protocol: how the set will be judged.
      where: the file, for messages.

    Raises:
      InputError: no labels, another number of them, numbers out of range, rows of
        another width or not finite, or rows that the protocol cannot use.
    """
    label = _array(raw, count, where)
    classes = _classes(label, raw, corpus, num_classes, where)
    if label.ndim == 1:
        value = _whole(label, where)
        value = _by_name(value, raw, corpus, classes, where)
        _check_range(value, classes, where)
        if choice == "soft":
            raise InputError(f"labels='soft': {where} holds classes, not rows")
        return Targets(value, value, classes, _names(raw, corpus), ())
    rows = _rows(label, classes, where)
    top = rows.argmax(1).astype(np.int32)
    kind = _kind(rows)
    if choice == "hard" or (choice == "auto" and kind == "one-hot"):
        return Targets(top, top, classes, _names(raw, corpus), ())
    if protocol.train.loss == "cross_entropy" and kind == "scores":
        if choice == "soft":
            raise InputError(
                f"labels='soft': the rows of {where} are no probabilities, and "
                f"protocol {protocol.name!r} needs them; choose one with another loss, "
                "or labels='hard'"
            )
        note = (
            f"the label rows are no probabilities (the first sums to "
            f"{rows[0].sum():.3g}), and the loss of protocol {protocol.name!r} needs "
            "them: the highest entry of each row is its class"
        )
        return Targets(top, top, classes, _names(raw, corpus), (note,))
    return Targets(rows, top, classes, _names(raw, corpus), ())


def _array(raw: Raw, count: int, where: str) -> np.ndarray:
    label = raw.label
    if label is None:
        raise InputError(
            f"{where} has no labels; give a file that has (known names: label, labels, "
            "target, targets, y), or class folders"
        )
    label = label[:, 0] if label.ndim == 2 and label.shape[1] == 1 else label
    if label.ndim not in (1, 2) or label.dtype.kind not in "biuf":
        raise InputError(
            f"{where}: labels are {label.dtype} {list(label.shape)}; wanted are "
            "classes [m] or rows [m,classes]"
        )
    if len(label) != count:
        raise InputError(f"{where}: {len(label)} labels for {count} images")
    if not np.isfinite(label).all():
        row = int(np.argwhere(~np.isfinite(label))[0][0])
        raise InputError(f"{where}: label {row} is NaN or infinite")
    return label


def _classes(
    label: np.ndarray,
    raw: Raw,
    corpus: Corpus | None,
    given: int | None,
    where: str,
) -> int:
    known = 0
    if corpus is not None:
        known = corpus.num_classes
        if not known:
            raise InputError(
                f"{where} has class labels, and {corpus.name} has none to judge them "
                "by; give labelled data"
            )
        if given not in (None, known):
            raise InputError(f"num_classes={given}, and {corpus.name} has {known}")
    width = label.shape[1] if label.ndim == 2 else len(raw.class_names)
    classes = known or given or width or int(np.max(label)) + 1
    if not 2 <= classes <= 2**20:
        raise InputError(f"{where}: {classes} classes; at least 2 are needed")
    return classes


def _whole(label: np.ndarray, where: str) -> np.ndarray:
    whole = np.rint(label.astype(np.float64))
    wrong = (whole != label) | (np.abs(whole) >= 2**31)
    if wrong.any():
        raise InputError(f"{where}: labels such as {label[wrong][0]} are no classes")
    return whole.astype(np.int32)


def _by_name(
    label: np.ndarray, raw: Raw, corpus: Corpus | None, classes: int, where: str
) -> np.ndarray:
    """Labels as the data numbers them, where names tell."""
    mine, theirs = raw.class_names, corpus.class_names if corpus else ()
    inside = not len(label) or 0 <= label.min() <= label.max() < len(mine)
    if not mine or not inside:
        return label
    if set(mine) <= set(theirs):
        return np.array([theirs.index(name) for name in mine], np.int32)[label]
    if not raw.folders:
        return label
    numbers = [_number(name) for name in mine]
    if len(set(numbers)) == len(mine) and all(0 <= n < classes for n in numbers):
        return np.array(numbers, np.int32)[label]
    if len(mine) != classes:
        raise InputError(
            f"{where}: {len(mine)} class folders ({', '.join(mine[:4])} ...) for "
            f"{classes} classes; name them as the classes are, or by their numbers"
        )
    return label


def _number(name: str) -> int:
    """The only number in a folder's name, or -1."""
    found = re.findall(r"\d+", name)
    return int(found[0]) if len(found) == 1 and len(found[0]) < 10 else -1


def _check_range(label: np.ndarray, classes: int, where: str) -> None:
    wrong = np.flatnonzero((label < 0) | (label >= classes))
    if len(wrong):
        raise InputError(
            f"{where}: label {label[wrong[0]]} of image {wrong[0]} (and "
            f"{len(wrong) - 1} more) is outside 0 to {classes - 1}"
        )


def _rows(label: np.ndarray, classes: int, where: str) -> np.ndarray:
    if label.shape[1] != classes:
        raise InputError(
            f"{where}: label rows of {label.shape[1]} numbers for {classes} classes"
        )
    return label.astype(np.float32)


def _kind(rows: np.ndarray) -> str:
    if np.array_equal(rows, np.eye(rows.shape[1])[rows.argmax(1)]):
        return "one-hot"
    sums = bool(np.allclose(rows.sum(1), 1, atol=1e-3)) and float(rows.min()) >= -1e-6
    return "probabilities" if sums else "scores"


def _names(raw: Raw, corpus: Corpus | None) -> tuple[str, ...]:
    if corpus is not None:
        return corpus.class_names
    return () if raw.folders else raw.class_names
