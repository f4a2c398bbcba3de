"""What the paths of image files say: split, class, name. Nothing is read here."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jaxdd.errors import InputError

__all__ = ["METADATA", "Layout", "Place", "arrange"]

METADATA = ("words.txt", "val_annotations.txt")
"""Text files of Tiny-ImageNet's layout that `arrange` understands, by file name."""

_TRAIN = ("train", "training")
_TEST = ("test", "testing", "val", "valid", "validation")  # the first is preferred


class Place(NamedTuple):
    """Where an image belongs; orders as (split, class, file), train before test."""

    test: bool
    folder: str  # "" where there are no classes
    file: str


class Layout(NamedTuple):
    """The place of each image, None for those that belong to no split.

    `folders` are the classes in order, `class_names` what to call them; both empty
    where there are no classes. `notes` are what the user must know.
    """

    places: list[Place | None]
    folders: tuple[str, ...]
    class_names: tuple[str, ...]
    notes: list[str]


def arrange(names: Sequence[str], metadata: Mapping[str, str], where: str) -> Layout:
    """Finds splits and classes in the paths of images.

    Known are `train/` and `test/` (or `val/`) with a folder for each class, one folder
    of class folders, images without classes, and Tiny-ImageNet's layout. Folders that
    all images share are left out of account.

    Args:
      names: relative paths with forward slashes.
      metadata: texts by the names in `METADATA`, as far as there are any.
      where: the source, for messages.

    Raises:
      InputError: there are no images, or splits that do not fit together.
    """
    if not names:
        raise InputError(
            f"{where} holds no images; put JPEG, PNG or WebP files in one folder a"
            " class, such as cats/1.jpg and dogs/1.jpg"
        )
    paths = _without_shared([tuple(name.split("/")) for name in names])
    labels = _annotations(metadata.get("val_annotations.txt", ""))
    train, test, others = _splits(paths, labels)
    places = [_place(path, train, test, labels) for path in paths]
    places, folders, lost = _classes(places, where)
    if not any(place and not place.test for place in places):
        raise InputError(f"{where} holds no training images, only test images")
    notes = [f"{where}: left out {what}/, not a split in use" for what in others]
    notes += [f"{where}: left out {n}, in no class folder" for n in _few(names, lost)]
    words = _words(metadata.get("words.txt", ""))
    return Layout(places, folders, tuple(words.get(f, f) for f in folders), notes)


def _without_shared(paths: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    while len({path[0] for path in paths}) == 1 and all(len(p) > 1 for p in paths):
        paths = [path[1:] for path in paths]
    return paths


def _annotations(text: str) -> dict[str, str]:
    """The class of each validation image of Tiny-ImageNet, by file name."""
    lines = (line.split("\t") for line in text.splitlines())
    return {line[0]: line[1] for line in lines if len(line) > 1}


def _words(text: str) -> dict[str, str]:
    """WordNet's first name of each class."""
    lines = (line.split("\t", 1) for line in text.splitlines() if "\t" in line)
    return {code: names.split(",")[0].strip() for code, names in lines}


def _splits(
    paths: list[tuple[str, ...]], labels: Mapping[str, str]
) -> tuple[str, str, list[str]]:
    """The folders of the training and the test split, "" where there are none."""
    tops = {path[0] for path in paths if len(path) > 1}
    known = {top.lower(): top for top in tops}
    train = next((known[name] for name in _TRAIN if name in known), "")
    if not train or not known.keys() <= {*_TRAIN, *_TEST}:
        return "", "", []
    order = ("val", *_TEST) if labels else _TEST
    test = next((known[name] for name in order if name in known), "")
    return train, test, sorted(tops - {train, test})


def _place(
    path: tuple[str, ...], train: str, test: str, labels: Mapping[str, str]
) -> Place | None:
    if not train:
        folder = path[0] if len(path) > 1 else ""
        return Place(False, folder, "/".join(path[1:] or path))
    if path[0] not in (train, test) or len(path) == 1:
        return None
    of_test, inside = path[0] == test, path[1:]
    if of_test and labels:
        folder = labels.get(path[-1])
        return None if folder is None else Place(True, folder, "/".join(inside))
    folder = inside[0] if len(inside) > 1 else ""
    return Place(of_test, folder, "/".join(inside[1:] or inside))


def _classes(
    places: list[Place | None], where: str
) -> tuple[list[Place | None], tuple[str, ...], list[int]]:
    """The classes, and the rows without one where others have one."""
    train = {p.folder for p in places if p and not p.test} - {""}
    test = {p.folder for p in places if p and p.test} - {""}
    if len(train) < 2:  # one class is none
        flat = [
            p and Place(p.test, "", f"{p.folder}/{p.file}".lstrip("/")) for p in places
        ]
        return flat, (), []
    if test - train:
        raise InputError(
            f"{where}: test class {min(test - train)!r} has no training images; classes"
            f" there: {', '.join(sorted(train)[:8])}. Use the same folders in both"
        )
    lost = [row for row, p in enumerate(places) if p and not p.folder]
    kept = [p if p and p.folder else None for p in places]
    if any(p and p.test for p in places) and not test:
        raise InputError(
            f"{where}: the test images lie in no class folders, those of training do;"
            " sort them into the same folders, or take them away"
        )
    return kept, tuple(sorted(train)), lost


def _few(names: Sequence[str], rows: list[int]) -> list[str]:
    """The first of some files, and how many more there are."""
    if not rows:
        return []
    more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
    return [f"{names[rows[0]]}{more}"]
