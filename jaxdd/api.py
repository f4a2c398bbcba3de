"""The calls most users need: distill, save, load, evaluate. Arrays in, a set out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxdd import artefact
from jaxdd.artefact import load
from jaxdd.base import Dataset, Distilled
from jaxdd.data.corpus import dataset_from_arrays
from jaxdd.errors import InputError
from jaxdd.evaluation import Report
from jaxdd.kernels.spelling import parse_kernel
from jaxdd.prepare import prepare_all
from jaxdd.records import KernelSpec, LoopConfig
from jaxdd.report import console
from jaxdd.run import choose
from jaxdd.run.config import Options, RunConfig, from_preset, override
from jaxdd.run.context import make_context
from jaxdd.run.plan import distil, make_plan, package

__all__ = ["distill", "evaluate", "load", "save"]

Split = tuple[Any, Any]


def distill(
    images: Any,
    labels: Any = None,
    *,
    method: str,
    ipc: int | None = None,
    size: int | None = None,
    test: Split | None = None,
    preset: str | None = None,
    seed: int = 0,
    **overrides: Any,
) -> Distilled:
    """Distils arrays into a small set.

    Without a preset, the one for the most similar images is taken and its networks are
    fitted to the image size.

    Args:
      images: [n,h,w,c] or grey [n,h,w], uint8 or floats in [0,1].
      labels: whole numbers 0 to k-1 [n], or None.
      method: its name; `python experiments/run.py --list` shows them all.
      ipc: images per class; at most one of ipc and size, default the preset's.
      size: number of images in all.
      test: (images, labels); the teacher's quality is measured on it, and so is the
        set, whose rows then stand in its `meta.rows`.
      preset: a named set of settings of the method.
      seed: decides everything random.
      **overrides: settings by name: `steps=200`, `batch=64`, and dotted ones as
        `**{"optimiser.learning_rate": 3e-4}`.

    Returns:
      The set, with all that its use and re-measurement need.

    Raises:
      InputError: an unknown name, arrays of the wrong kind, or a size that does not
        fit the data.

    Example:
      small = jaxdd.distill(images, labels, method="dm", ipc=10)
    """
    config = _configure(np.shape(images), method, ipc, size, preset, seed, overrides)
    train = (_array(images), _array(labels))
    split = None if test is None else (_array(test[0]), _array(test[1]))
    dataset = dataset_from_arrays(train, split, config.data)
    say = console.say if config.run.progress else lambda line: None
    context, plan = make_context(config, say), make_plan(config, dataset)
    for note in plan.distiller.notes:
        say(note)
    prepared = prepare_all(plan.distiller.needs, dataset, context.site(plan))
    synthetic, _ = distil(plan, prepared, seed, context.loop)
    distilled = package(plan, prepared.assets, synthetic, seed)
    if test is None:
        return distilled
    rows = tuple(context.measure([distilled], dataset).rows)
    return distilled._replace(meta=dataclasses.replace(distilled.meta, rows=rows))


def save(distilled: Distilled, path: str | Path) -> None:
    """Writes a set as a folder, all of it or nothing.

    Raises:
      InputError: the folder cannot be written.
    """
    artefact.save(distilled, path)


def evaluate(
    distilled: Distilled,
    *,
    test: Split,
    train: Split | None = None,
    seeds: int = 1,
    progress: bool = True,
    kernels: Sequence[KernelSpec | str] = (),
    ridge: float | None = None,
) -> Report:
    """Trains fresh students on a set and measures them on test images.

    Args:
      distilled: the set.
      test: (images, labels), prepared as the images it was distilled from were.
      train: the same for training images, from which the rows beside the set's are
        made (random, class means, ...); without it the report says what is missing.
      seeds: students of each row.
      progress: draw bars.
      kernels: also predict by kernel ridge regression on the set, with these kernels
        or names of some such as "ntk-fc-2"; default the protocol's.
      ridge: of the regressions, in units that the protocol says (`mean_trace`: the
        mean eigenvalue); default the protocol's.

    Returns:
      Rows and notes; the network of a regression's rows is "krr" and the kernel.

    Raises:
      InputError: the arrays do not fit the set, or a kernel is unknown.
    """
    distilled = _with_kernels(distilled, kernels, ridge)
    meta = distilled.meta
    spec = dataclasses.replace(meta.data, whitening="none", test_limit=None)
    test = (_array(test[0]), _array(test[1]))
    if train is None:
        # The checks of the test split need classes, and nothing else, of a training
        # split; it is not evaluated on.
        labels = None if test[1] is None else np.arange(meta.num_classes)
        blank = np.zeros((max(1, meta.num_classes), *test[0].shape[1:]), np.uint8)
        spec = dataclasses.replace(spec, train_limit=None)
        _, split = dataset_from_arrays((blank, labels), test, spec)
        dataset = Dataset(None, split)  # type: ignore[arg-type]
    else:
        pair = (_array(train[0]), _array(train[1]))
        dataset = dataset_from_arrays(pair, test, spec)
    driven = LoopConfig(progress=progress, student_devices=1, together=1)
    config = Options(seed=meta.seed, students=seeds, run=driven)
    return make_context(config).measure([distilled], dataset)


def _with_kernels(
    distilled: Distilled, kernels: Sequence[KernelSpec | str], ridge: float | None
) -> Distilled:
    """The set with these regressions in its protocol."""
    meta = distilled.meta
    specs = tuple(parse_kernel(k) if isinstance(k, str) else k for k in kernels)
    known = meta.protocol.regression
    asked = dataclasses.replace(
        known,
        kernels=specs or known.kernels,
        ridge=known.ridge if ridge is None else ridge,
    )
    protocol = dataclasses.replace(meta.protocol, regression=asked)
    return distilled._replace(meta=dataclasses.replace(meta, protocol=protocol))


def _configure(
    shape: tuple[int, ...],
    method: str,
    ipc: int | None,
    size: int | None,
    preset: str | None,
    seed: int,
    overrides: dict[str, Any],
) -> RunConfig:
    if ipc is not None and size is not None:
        raise InputError(f"ipc={ipc}, size={size}: give only one of them")
    if preset is None:
        name, chosen = choose.adapt(method, shape[1:] if len(shape) > 2 else (28, 28))
    else:
        name, chosen = choose.preset(method, preset)
    config = from_preset(method, name, chosen, seed=seed)
    if ipc is not None or size is not None:
        config = dataclasses.replace(config, ipc=ipc, size=size)
    return override(config, overrides)


def _array(value: Any) -> Any:
    return None if value is None else np.asarray(value)
