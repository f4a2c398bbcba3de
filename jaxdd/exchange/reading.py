"""Reads anybody's distilled set, so that it can be judged like our own."""

import dataclasses
from pathlib import Path
from typing import Any, get_args

import jax.numpy as jnp
import numpy as np

from jaxdd import artefact
from jaxdd.base import Corpus, Distilled, Synthetic
from jaxdd.data.source import Progress, silent
from jaxdd.errors import InputError, one_of
from jaxdd.exchange import own
from jaxdd.exchange.locate import Place, find, read_raw
from jaxdd.exchange.raw import Raw
from jaxdd.exchange.space import Placed, place
from jaxdd.exchange.targets import Choice, Targets, resolve
from jaxdd.records import DataSpec, Meta, Protocol

__all__ = ["ORDERS", "read"]

ORDERS = ("nhwc", "nchw")
"""What `layout` may be: where the channels stand."""

_TAKEN = ("random", "class_mean", "full", "scratch", "teacher")  # rows of every report


def read(
    path: str | Path,
    *,
    corpus: Corpus | None = None,
    whitening: str | None = None,
    layout: str | None = None,
    labels: Choice = "auto",
    protocol: Protocol | None = None,
    data: DataSpec | None = None,
    num_classes: int | None = None,
    index: int = -1,
    progress: Progress = silent,
) -> Distilled:
    """Reads a set that jaxdd or another project wrote; nothing in it is executed.

    Images are brought into the space that networks consume, and rows sorted by class.
    Whitenings that a file does not hold are fitted on `corpus`.

    Args:
      path: a set that jaxdd saved or exported, a work directory, or a file or folder
        of another project (`exchange.locate.find`).
      corpus: the real training data that the set is to be judged on.
      whitening: the space the images are in, one of `space.SPACES`; None where the file
        says it or holds pixels.
      layout: nhwc or nchw; None finds it.
      labels: auto, hard or soft (`targets.resolve`).
      protocol: how it is to be judged; default the set's own, or the plain one.
      data: how `corpus` was loaded; its `resize` also applies to images that are
        decoded here.
      num_classes: k, where neither the data nor the labels say it.
      index: which set of a file that holds several; default the last.
      progress: told of decoding.

    Returns:
      The set. `meta.config` of an imported one says where it came from: file, layout,
      space and notes.

    Raises:
      InputError: the file is damaged, holds code or has an unknown layout; the
        whitening is unknown or contradicts the numbers; labels, channels or sizes do
        not fit each other or the data.
    """
    if layout is not None:
        one_of("layout", layout, ORDERS)
    one_of("labels", labels, get_args(Choice))
    found = find(path)
    if found.kind in ("artefact", "own"):
        return _own(found, corpus, whitening, protocol)
    protocol, data = protocol or Protocol(), data or DataSpec()
    spec = DataSpec(resize=data.resize, resize_mode=data.resize_mode, test_share=0.0)
    raw, where = read_raw(found, spec, progress, index), str(found.path)
    image = _images(raw, layout, corpus, where)
    _check_fits(image, corpus, where)
    targets = resolve(
        raw,
        len(image),
        corpus=corpus,
        num_classes=num_classes,
        choice=labels,
        protocol=protocol,
        where=where,
    )
    placed = place(image, raw.space, whitening, corpus, raw.dataset, raw.layout, where)
    return _build(raw, placed, targets, corpus, protocol, data, where)


def _own(
    found: Place,
    corpus: Corpus | None,
    whitening: str | None,
    protocol: Protocol | None,
) -> Distilled:
    """A set of ours says everything itself."""
    reader = artefact.load if found.kind == "artefact" else own.read
    distilled = reader(found.path)
    mine, where = distilled.whitening.kind, str(found.path)
    said = "standard" if whitening == "vico" else whitening
    if said not in (None, mine):
        raise InputError(
            f"whitening={whitening!r}: {where} says itself that it is in {mine!r}; "
            "leave the argument out"
        )
    _check_fits(np.asarray(distilled.synthetic.image), corpus, where)
    if protocol is None:
        return distilled
    meta = dataclasses.replace(distilled.meta, protocol=protocol, rows=())
    return distilled._replace(meta=meta)


def _images(
    raw: Raw, layout: str | None, corpus: Corpus | None, where: str
) -> np.ndarray:
    """The images [m,h,w,c], finite numbers."""
    image = raw.image
    if image.dtype.kind == "f" or image.dtype.name == "bfloat16":
        with np.errstate(over="ignore"):  # what is too large is found below
            image = image.astype(np.float32)
    if image.dtype.kind not in "iuf" or image.ndim not in (3, 4) or 0 in image.shape:
        raise InputError(
            f"{where}: images are {image.dtype} {list(image.shape)}; wanted are "
            "numbers [m,h,w,c], [m,c,h,w] or [m,h,w]"
        )
    if not np.isfinite(image).all():
        row = int(np.argwhere(~np.isfinite(image))[0][0])
        raise InputError(f"{where}: image {row} has NaN or infinity")
    if image.ndim == 3:
        return image[..., None]
    order = layout or _order(image.shape, raw.order, corpus, where)
    return np.moveaxis(image, 1, -1) if order == "nchw" else image


def _order(shape: tuple[int, ...], said: str, corpus: Corpus | None, where: str) -> str:
    """Where the channels stand: as the data has it, else by their number."""
    wanted = corpus.image_shape if corpus else None
    fits = {"nhwc": tuple(shape[1:]), "nchw": (*shape[2:], shape[1])}
    if wanted and (fits["nhwc"] == wanted) != (fits["nchw"] == wanted):
        return next(order for order in ORDERS if fits[order] == wanted)
    few = [order for order in ORDERS if fits[order][2] in (1, 3)]
    if said in few or (not few and said):
        return said
    if len(few) == 1:
        return few[0]
    if few:
        return "nhwc"  # as NumPy's files have it
    raise InputError(
        f"{where}: images {list(shape)} have neither 1 nor 3 channels; say where they "
        "stand with layout='nhwc' or 'nchw'"
    )


def _check_fits(image: np.ndarray, corpus: Corpus | None, where: str) -> None:
    if corpus is None or image.shape[1:] == corpus.image_shape:
        return
    mine, theirs = image.shape[1:], corpus.image_shape
    if mine[2] != theirs[2]:
        raise InputError(
            f"{where}: images of {mine[2]} channels, and {corpus.name} has "
            f"{theirs[2]}; load the data with --data.channels {mine[2]}"
        )
    raise InputError(
        f"{where}: images of {mine[0]}x{mine[1]}, and {corpus.name} has "
        f"{theirs[0]}x{theirs[1]}; load the data with --data.resize (or pad and pool) "
        "so that they are alike"
    )


def _weight(raw: Raw, count: int, where: str) -> np.ndarray:
    if raw.weight is None:
        return np.ones(count, np.float32)
    weight = raw.weight.astype(np.float32)
    fits = weight.shape == (count,) and np.isfinite(weight).all()
    if not fits or weight.min() < 0 or weight.max() == 0:
        raise InputError(
            f"{where}: weights {list(weight.shape)} for {count} images; wanted is one "
            "finite number of at least 0 for each, and not 0 for all"
        )
    return weight


def _meta(
    raw: Raw,
    placed: Placed,
    targets: Targets,
    corpus: Corpus | None,
    protocol: Protocol,
    data: DataSpec,
    where: str,
) -> Meta:
    method = "imported" if raw.method in _TAKEN else raw.method or "imported"
    absent = targets.num_classes - len(np.unique(targets.label))
    notes = [*raw.notes, *targets.notes]
    if absent:
        notes.append(f"{absent} of {targets.num_classes} classes have no image")
    kind: Any = placed.whitening.kind
    data = dataclasses.replace(data, whitening=kind)
    height, width, channels = placed.image.shape[1:]
    return Meta(
        method=method,
        dataset=corpus.name if corpus else raw.dataset,
        dataset_hash=corpus.hash if corpus else "",
        image_shape=(height, width, channels),
        num_classes=targets.num_classes,
        class_names=targets.class_names,
        label_kind="soft" if targets.value.ndim == 2 else "hard",
        protocol=protocol,
        data=data,
        config={
            "file": Path(where).name,
            "layout": raw.layout,
            "space": placed.space,
            "notes": notes,
        },
        input_space="raw" if placed.raw else "whitened",
    )


def _build(
    raw: Raw,
    placed: Placed,
    targets: Targets,
    corpus: Corpus | None,
    protocol: Protocol,
    data: DataSpec,
    where: str,
) -> Distilled:
    """The set with its rows in order of their classes."""
    weight, rate = _weight(raw, len(placed.image), where), raw.rate
    meta = _meta(raw, placed, targets, corpus, protocol, data, where)
    order = np.argsort(targets.label, kind="stable")
    synthetic = Synthetic(
        jnp.asarray(placed.image[order]),
        jnp.asarray(targets.value[order]),
        jnp.asarray(weight[order]),
        () if rate is None else {"learning_rate": jnp.asarray(rate, jnp.float32)},
    )
    distilled = Distilled(synthetic, meta, placed.whitening, {})
    stored = dataclasses.replace(meta, storage=artefact.storage(distilled))
    return distilled._replace(meta=stored)
