"""Rows by kernel ridge regression: the set, and real images, as the support.

No network is trained; the network of such a row is called krr and the kernel. Analytic
kernels depend on nothing random, the finite ones on networks drawn anew for each seed.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import kernels
from jaxdd.base import Array, Corpus, Synthetic
from jaxdd.evaluation.calibration import top_five
from jaxdd.evaluation.contestants import random_set
from jaxdd.evaluation.measure import Entry, Figures, Measurement, one_by_one
from jaxdd.evaluation.probes import accuracy
from jaxdd.evaluation.regression import (
    Fitted,
    check_kernels,
    fit_kernel,
    predictor,
    ridge_of,
)
from jaxdd.evaluation.report import KRR
from jaxdd.evaluation.setting import Setting
from jaxdd.evaluation.students import seed_key
from jaxdd.evaluation.tasks import representation_mse
from jaxdd.kernels.finite import Finite
from jaxdd.kernels.spelling import spelled_kernel
from jaxdd.records import KernelSpec, Protocol, Row, digest
from jaxdd.select import class_means, random_rows, subset
from jaxdd.training.examples import apply_to_all

__all__ = ["imitating_entries", "kernel_entries", "kernel_notes", "krr_name"]

_FULL_BYTES = 4_000_000_000  # of a kernel matrix, its copy with the ridge, its factor

Judge = Callable[[np.ndarray], Figures]
"""Figures of the predictions [n,k] for the test split."""


class _Support(NamedTuple):
    """What a row is fitted on, at the position of a seed."""

    name: str
    made: Callable[[int], Synthetic]
    drawn: bool  # whether seeds differ


def krr_name(spec: KernelSpec) -> str:
    """What the network of a kernel's rows is called, such as "krr ntk-fc-2"."""
    return KRR + spelled_kernel(spec)


def kernel_entries(
    setting: Setting, *, baselines: bool, random: bool
) -> tuple[list[Entry], list[str]]:
    """Rows of a labelled set under every kernel of the protocol.

    Args:
      setting: what is evaluated.
      baselines: whether to add real images to the set itself.
      random: whether as many of them as the set has can be drawn.

    Returns:
      The entries, and notes.

    Raises:
      InputError: a kernel or the ridge that cannot be used.
    """
    protocol = setting.meta.protocol
    if not protocol.regression.kernels:
        return [], []
    check_kernels(protocol, setting.image_shape)
    found, notes = [_own(setting)], []
    if baselines and setting.train is not None:
        others, notes = _real(setting, setting.train, random)
        found += [other for other in others if other.name != setting.meta.method]

    def judge(predicted: np.ndarray) -> Figures:
        figures = {"accuracy": accuracy(predicted, setting.test.label)}
        return figures | top_five(predicted, np.asarray(setting.test.label))

    return _entries(setting, found, judge), notes


def imitating_entries(
    setting: Setting, teacher: Callable[[str], Array], *, baselines: bool
) -> list[Entry]:
    """Rows of a set of representations: how well the regression imitates the teacher.

    Args:
      setting: what is evaluated.
      teacher: its outputs [n,d] by split.
      baselines: whether to add as many random real images.
    """
    protocol, train = setting.meta.protocol, setting.train
    if not protocol.regression.kernels:
        return []
    check_kernels(protocol, setting.image_shape)
    own = _Support(
        setting.meta.method,
        lambda position: setting.set_at(position).synthetic,
        len(setting.sets) > 1,
    )

    def random(position: int) -> Synthetic:
        assert train is not None
        key = seed_key(setting.seeds[position], "random")
        rows = random_rows(key, train, setting.size, None)
        return subset(train, rows)._replace(target=teacher("train")[rows])

    found = [own]
    if baselines and train is not None and setting.size <= train.size:
        found += [_Support("random", random, True)] * (own.name != "random")

    def judge(predicted: np.ndarray) -> Figures:
        error = representation_mse(jnp.asarray(predicted), teacher("test"))
        return {"representation_mse": error}

    return _entries(setting, found, judge)


def kernel_notes(rows: Sequence[Row], protocol: Protocol) -> list[str]:
    """What a reader must know: which ridges were raised."""
    notes = []
    for row in rows:
        if row.metric != "ridge_retries" or not row.mean:
            continue
        mine = (
            other.mean
            for other in rows
            if (other.set, other.network) == (row.set, row.network)
            and other.metric == "ridge"
        )
        notes.append(
            f"{row.network}, row {row.set}: float32 could not factor the kernel"
            f" at ridge {protocol.regression.ridge:g}, which was raised tenfold"
            f" {row.mean:g} times, to {next(mine):.2g} of the mean eigenvalue"
        )
    return notes


def _own(setting: Setting) -> _Support:
    def made(position: int) -> Synthetic:
        synthetic = setting.set_at(position).synthetic
        return synthetic._replace(target=_centred(setting, synthetic.target))

    return _Support(setting.meta.method, made, len(setting.sets) > 1)


def _real(
    setting: Setting, train: Corpus, random: bool
) -> tuple[list[_Support], list[str]]:
    """Random images, class means where there is one a class, and all or many."""

    def centred(synthetic: Synthetic) -> Synthetic:
        return synthetic._replace(target=_centred(setting, synthetic.target))

    found, notes = [], []
    if random:
        drawn = _Support(
            "random", lambda position: centred(random_set(setting, position)), True
        )
        found.append(drawn)
    if setting.ipc == 1:
        means = cache(lambda: centred(class_means(train)))
        found.append(_Support("class_mean", lambda _: means(), False))
    if setting.meta.protocol.regression.full:
        count = _full_size(setting.meta.protocol, train)
        if count < train.size:
            notes.append(
                f"the row full of the krr figures is of {count:,} of the"
                f" {train.size:,} training images"
            )
        found.append(_full(setting, train, count, centred))
    return found, notes


def _full_size(protocol: Protocol, train: Corpus) -> int:
    """As many real images as are asked for, there and fit."""
    fits = int((_FULL_BYTES / (3 * 4)) ** 0.5)
    return min(protocol.regression.full, train.size, fits)


def _full(
    setting: Setting,
    train: Corpus,
    count: int,
    centred: Callable[[Synthetic], Synthetic],
) -> _Support:
    def made(position: int) -> Synthetic:
        key = seed_key(setting.seeds[position], "kernel_full")
        return centred(subset(train, random_rows(key, train, count, None)))

    return _Support("full", made, count < train.size)


def _centred(setting: Setting, target: Array) -> Array:
    """Targets around zero [m,k]: classes, probabilities, logits; other rows as is."""
    classes, recipe = setting.meta.num_classes, setting.meta.protocol.train
    if jnp.issubdtype(target.dtype, jnp.integer):
        return jax.nn.one_hot(target, classes) - 1 / classes
    if recipe.loss in ("soft_cross_entropy", "kl"):
        return jax.nn.softmax(target / recipe.temperature, axis=-1) - 1 / classes
    rows = np.asarray(target)
    shares = rows.min() >= -1e-6 and bool(np.allclose(rows.sum(1), 1, atol=1e-3))
    return target - 1 / classes if shares else target


def _entries(
    setting: Setting, supports: Sequence[_Support], judge: Judge
) -> list[Entry]:
    return [
        _entry(setting, spec, support, judge)
        for spec in setting.meta.protocol.regression.kernels
        for support in supports
    ]


def _entry(
    setting: Setting, spec: KernelSpec, support: _Support, judge: Judge
) -> Entry:
    ridge, shape = ridge_of(setting.meta.protocol), setting.image_shape
    apply = apply_to_all(predictor(spec, shape))
    where = f"set {support.name!r}"

    def fitted(position: int, stage: str) -> tuple[Fitted, Figures]:
        del stage
        key = seed_key(setting.seeds[position], "kernel")
        variables = kernels.variables(spec, key, shape)
        return fit_kernel(spec, ridge, support.made(position), variables, where=where)

    def score(made: tuple[Fitted, Figures], seed: int, stage: str) -> Figures:
        del seed, stage
        regression, figures = made
        return judge(np.asarray(apply(regression, setting.test))) | figures

    # The ridge and the kernel's settings are part of the piece's name, not of the
    # fingerprint: another kernel changes nothing about students that are done.
    settings = digest(spec, ridge, setting.meta.protocol.regression.full)
    task: dict[str, Measurement] = {f"krr-{settings[:8]}": score}
    random = support.drawn or isinstance(spec, Finite)
    return Entry(
        support.name,
        one_by_one(fitted),
        task,
        krr_name(spec),
        None if random else 1,
    )
