"""Recorded figures measured again."""

import dataclasses
import math
from pathlib import Path

import pytest

from jaxdd import artefact, whiten
from jaxdd.base import Dataset
from jaxdd.errors import InputError
from jaxdd.evaluation import evaluate, verify
from tests.evaluation.cases import (
    Recorder,
    labelled_set,
    representation_set,
    standard_dataset,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> tuple[Dataset, Path]:
    """A representation set saved with its rows."""
    data = standard_dataset()
    small = representation_set(data)
    report = evaluate([small], data, seeds=[0, 2])
    meta = dataclasses.replace(small.meta, rows=tuple(report.rows))
    path = tmp_path_factory.mktemp("sets") / "krr_ssl"
    artefact.save(small._replace(meta=meta), path)
    return data, path


def test_a_saved_set_is_measured_again(saved) -> None:
    data, path = saved
    drive = Recorder()
    checks = verify(artefact.load(path), data, drive=drive)
    assert [c.row.metric for c in checks] == [
        "representation_mse",
        "linear_probe",
        "knn",
        "fine_tune",
    ]
    for check in checks:
        assert check.ok
        assert check.measured == check.recorded
    assert all(stage.startswith("evaluate/krr_ssl/") for stage in drive.calls)


def test_the_set_brings_its_own_whitening(saved) -> None:
    data, path = saved
    raw = whiten.from_arrays("none", {})
    other = Dataset(*(dataclasses.replace(c, whitening=raw) for c in data))
    for check in verify(artefact.load(path), other):
        assert check.measured == check.recorded


def test_a_wrong_figure_is_found(saved) -> None:
    data, path = saved
    small = artefact.load(path)
    first, second, *rest = small.meta.rows
    far = first.mean + max(4 * first.std, 0.05 * first.mean)
    first = dataclasses.replace(first, mean=far)
    second = dataclasses.replace(second, mean=math.nan)
    meta = dataclasses.replace(small.meta, rows=(first, second, *rest))
    checks = verify(small._replace(meta=meta), data)
    assert [c.ok for c in checks] == [False, False, True, True]


def test_a_small_difference_is_allowed(saved) -> None:
    data, path = saved
    small = artefact.load(path)
    near = [
        dataclasses.replace(row, mean=row.mean * 1.01, std=0.0)
        for row in small.meta.rows
    ]
    meta = dataclasses.replace(small.meta, rows=tuple(near))
    checks = verify(small._replace(meta=meta), data)
    assert all(c.ok for c in checks)


def test_a_changed_set_is_found(saved) -> None:
    data, path = saved
    small = artefact.load(path)
    blank = small.synthetic._replace(image=0 * small.synthetic.image)
    checks = verify(small._replace(synthetic=blank), data)
    assert not checks[0].ok


def test_what_cannot_be_verified_is_refused(saved) -> None:
    data, path = saved
    with pytest.raises(InputError, match="records no figures"):
        verify(labelled_set(data), data)
    with pytest.raises(InputError, match="the same data"):
        verify(artefact.load(path), Dataset(data.test, data.test))
