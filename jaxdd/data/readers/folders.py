"""Images in class folders, or packed in an archive: what people have at home.

The arrays depend on the images and their paths only: a folder and the archive it was
packed into give the same, in the order (split, class, file name).
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from jaxdd.data.readers.archive import SUFFIXES, open_tree
from jaxdd.data.readers.decode import Decoded, decode_all
from jaxdd.data.readers.layout import METADATA, Layout, arrange
from jaxdd.data.source import Arrays, Progress
from jaxdd.data.split import hold_out
from jaxdd.errors import InputError
from jaxdd.records import DataSpec

__all__ = ["LARGEST", "alike", "left_out", "read"]

LARGEST = 8 << 30
"""Bytes that the pixels of a data set may take."""

_SHOWN = 5  # names in a message


def read(path: Path, spec: DataSpec, progress: Progress) -> Arrays:
    """Reads images and takes their classes from the folders they lie in.

    Args:
      path: a folder, or a tar (gz, bz2, xz, zst) or zip archive of one.
      spec: size, held-out share and what to do with images that do not decode.
      progress: told of every decoded image.

    Returns:
      x_train, x_test uint8 [n,h,w,c] with c 1 where all are grey and 3 otherwise,
      y_train, y_test where there are class folders, class_names, and notes. No test
      arrays where `spec.test_share` is 0 and there is no test folder.

    Raises:
      InputError: no images, images of several sizes without `resize`, images that do
        not decode, a class with too few images, or an unsafe or damaged archive.
    """
    _check(spec)
    metadata: dict[str, str] = {}
    tree = open_tree(path, _wanted)
    with progress(f"decode {path.name}", tree.total, "image") as advance:
        decoded = decode_all(
            _images(tree.files, metadata),
            side=spec.resize,
            mode=spec.resize_mode,
            limit=LARGEST,
            advance=advance,
        )
    notes = left_out(decoded, spec, path)
    layout = arrange(decoded.names, metadata, str(path))
    return _assemble(decoded, layout, spec, path, notes + layout.notes)


def _check(spec: DataSpec) -> None:
    if spec.resize is not None and spec.resize < 1:
        raise InputError(f"data.resize is {spec.resize}; it must be at least 1 pixel")
    if not 0 <= spec.test_share < 1:
        raise InputError(
            f"data.test_share is {spec.test_share}; it must be at least 0 and below 1"
        )


def _wanted(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) or name.rsplit("/", 1)[-1] in METADATA


def _images(
    tree: Iterator[tuple[str, bytes]], metadata: dict[str, str]
) -> Iterator[tuple[str, bytes]]:
    """The images of a tree; texts are put aside as they come by."""
    for name, data in tree:
        if name.lower().endswith(SUFFIXES):
            yield name, data
        else:
            metadata[name.rsplit("/", 1)[-1]] = data.decode(errors="replace")


def left_out(decoded: Decoded, spec: DataSpec, path: Path) -> list[str]:
    """Notes on images that do not decode.

    Raises:
      InputError: there are some, and `spec.skip_bad` is not set.
    """
    bad = sorted(decoded.bad)
    if not bad:
        return []
    shown = bad if spec.skip_bad else bad[:_SHOWN]  # the run goes on: list them all
    listed = "; ".join(f"{name} ({reason})" for name, reason in shown)
    more = f"; and {len(bad) - len(shown)} more" if len(bad) > len(shown) else ""
    count = f"{len(bad)} of {len(bad) + len(decoded.names)} images do not decode"
    if not spec.skip_bad:
        raise InputError(
            f"{path}: {count}: {listed}{more}. Repair or remove them, or leave them out"
            " with --data.skip-bad"
        )
    return [f"{path}: left out {count}: {listed}{more}"]


def _assemble(
    decoded: Decoded, layout: Layout, spec: DataSpec, path: Path, notes: list[str]
) -> Arrays:
    """Sorts the images, splits them and stacks them."""
    pairs = [
        (place, row) for row, place in enumerate(layout.places) if place is not None
    ]
    places = [place for place, _ in sorted(pairs)]
    rows = [row for _, row in sorted(pairs)]
    twice = next((a for a, b in itertools.pairwise(places) if a == b), None)
    if twice is not None:
        raise InputError(f"{path} holds {twice.file} twice; which one is meant?")
    names = [decoded.names[row] for row in rows]
    pixels = alike([decoded.pixels[row] for row in rows], names, path)
    test = np.array([place.test for place in places])
    number = {folder: c for c, folder in enumerate(layout.folders)}
    label = np.array([number.get(place.folder, 0) for place in places], np.int32)
    arrays: Arrays = {"notes": np.array(notes, str)}
    for split, chosen in (("train", ~test), ("test", test)):
        if chosen.any():
            taken = [image for image, c in zip(pixels, chosen, strict=True) if c]
            arrays[f"x_{split}"] = np.stack(taken)
            if layout.folders:
                arrays[f"y_{split}"] = label[chosen]
    arrays["class_names"] = np.array(layout.class_names, str)
    return hold_out(arrays, spec, str(path))


def alike(
    pixels: list[np.ndarray], names: Sequence[str], path: Path
) -> list[np.ndarray]:
    """The images [h,w,c], in colour if one is.

    Raises:
      InputError: they differ in size.
    """
    first = pixels[0].shape[:2]
    odd = next((i for i, p in enumerate(pixels) if p.shape[:2] != first), None)
    if odd is not None:
        (h, w), (height, width) = first, pixels[odd].shape[:2]
        raise InputError(
            f"{path}: images differ in size ({names[0]} is {w}x{h}, {names[odd]}"
            f" {width}x{height}); make them alike with --data.resize SIDE, such as 32"
        )
    if all(p.shape[2] == 1 for p in pixels):
        return pixels
    return [np.repeat(p, 3, 2) if p.shape[2] == 1 else p for p in pixels]
