"""From a need to an asset."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import whiten
from jaxdd.base import TeacherAsset
from jaxdd.errors import InputError
from jaxdd.networks.teacher import represent
from jaxdd.records import Sgd, TeacherNeed, Views
from jaxdd.training import scan_drive
from tests.prepare.cases import RECIPE, TINY, prepare, toy_dataset

NEED = TeacherNeed(TINY, Views(flip=True))


def _never(step, state, num_steps, data, *, stage):
    raise AssertionError("trained again")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """An asset, its report, what was announced, the stages, and the cache."""
    cache, lines, stages = tmp_path_factory.mktemp("cache"), [], []

    def drive(step, state, num_steps, data, *, stage):
        stages.append((stage, num_steps))
        return scan_drive(step, state, num_steps, data, stage=stage)

    asset, report = prepare(
        NEED, toy_dataset(), drive=drive, cache=cache, say=lines.append
    )
    return asset, report, lines, stages, cache


def _assert_same(asset, other):
    jax.tree.map(np.testing.assert_array_equal, asset, other)


def test_the_teacher_is_trained_by_the_drive_and_reported(prepared):
    asset, report, _, stages, _ = prepared
    assert isinstance(asset, TeacherAsset)
    assert stages == [("target", RECIPE.steps)]
    assert set(report) == {"final_loss", "collapse", "knn", "linear_probe"}
    assert all(np.isfinite(v) and isinstance(v, float) for v in report.values())


def test_the_table_holds_the_teachers_outputs(prepared):
    asset, *_ = prepared
    corpus = toy_dataset().train
    _, read, _ = represent(TINY, corpus.image_shape)
    unit = whiten.to_unit(corpus.image)
    plain, mirrored = (
        read(asset.variables, unit),
        read(asset.variables, unit[:, :, ::-1]),
    )
    np.testing.assert_allclose(asset.table[0], plain, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(asset.table[1], mirrored, rtol=1e-5, atol=1e-6)


def test_bytes_are_announced_before_the_table_is_built(prepared):
    *_, lines, _, _ = prepared
    size = 2 * 48 * 6 * 4
    before = next(i for i, line in enumerate(lines) if f"{size:,} bytes" in line)
    built = next(i for i, line in enumerate(lines) if "built in" in line)
    assert before < built
    assert "12,000,000,000" in lines[before]


def test_a_second_run_finds_everything(prepared):
    asset, report, _, _, cache = prepared
    again, same = prepare(NEED, toy_dataset(), drive=_never, cache=cache)
    _assert_same(again, asset)
    assert same == report


def test_other_views_reuse_the_teacher_with_their_own_table(prepared):
    asset, _, _, _, cache = prepared
    need = TeacherNeed(TINY, Views())
    one, _ = prepare(need, toy_dataset(), drive=_never, cache=cache)
    assert one.table.shape == (1, 48, 6)
    np.testing.assert_array_equal(one.table[0], asset.table[0])


def test_a_damaged_cache_gives_the_same_asset(prepared, tmp_path):
    asset, report, _, _, cache = prepared
    for path in cache.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes()[:-40])
    again, same = prepare(NEED, toy_dataset(), cache=tmp_path)
    _assert_same(again, asset)
    assert same == report


def test_beyond_the_budget_the_teacher_stays_in_the_step(prepared):
    _, _, _, _, cache = prepared
    lines = []
    asset, _ = prepare(
        NEED,
        toy_dataset(),
        drive=_never,
        cache=cache,
        view_budget=100,
        say=lines.append,
    )
    assert asset.table is None
    assert "inside the step" in lines[-1]
    half, _ = prepare(
        NEED, toy_dataset(), drive=_never, cache=cache, view_budget=2 * 48 * 6 * 2
    )
    assert half.table.dtype == jnp.bfloat16


def test_a_teacher_that_diverges_is_an_error_and_is_not_kept(tmp_path):
    wild = dataclasses.replace(RECIPE, steps=3, optimiser=Sgd(1e38))
    need = TeacherNeed(dataclasses.replace(TINY, recipe=wild))
    with pytest.raises(InputError, match="learning_rate"):
        prepare(need, toy_dataset(), cache=tmp_path)
    assert list(tmp_path.iterdir()) == []
