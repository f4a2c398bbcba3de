"""The table of a teacher's outputs over enumerated views."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdd import whiten
from jaxdd.augment.views import apply_view
from jaxdd.base import TeacherAsset, Uniform
from jaxdd.data.feeds import sample
from jaxdd.data.load import load
from jaxdd.networks.teacher import represent
from jaxdd.prepare import views as tables
from jaxdd.records import DataSpec, Views
from tests.helpers import toy_corpus
from tests.prepare.cases import TINY

CROP_FLIP = Views(crop=1, flip=True)


@pytest.fixture(scope="module")
def teacher():
    body, read, width = represent(TINY, (8, 8, 1))
    return read, jax.jit(body.init)(jax.random.key(4)), width


def _build(teacher, dtype, lines, block=20):
    read, variables, width = teacher
    corpus = toy_corpus()
    shape = (CROP_FLIP.count, corpus.size, width)
    return tables.build_table(
        read,
        variables,
        corpus,
        CROP_FLIP,
        jax.ShapeDtypeStruct(shape, dtype),
        say=lines.append,
        block=block,
    )


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(jnp.float32, 1e-6), (jnp.bfloat16, 2**-8)]
)
def test_table_equals_the_teacher_on_every_view(teacher, dtype, tolerance):
    lines = []
    table = _build(teacher, dtype, lines)
    assert table.shape == (18, 48, 6)
    assert table.dtype == dtype
    assert len(lines) == 1
    read, variables, _ = teacher
    corpus = toy_corpus()
    unit = whiten.to_unit(corpus.image)
    run = jax.jit(lambda v: read(variables, apply_view(unit, v, CROP_FLIP)))
    for view in range(CROP_FLIP.count):
        direct = run(jnp.full(48, view))
        np.testing.assert_allclose(
            table[view].astype(jnp.float32), direct, rtol=tolerance, atol=1e-6
        )
    identity = np.asarray(table[CROP_FLIP.identity].astype(jnp.float32))
    np.testing.assert_allclose(identity, read(variables, unit), rtol=0.01, atol=1e-5)
    assert not np.allclose(identity, table[0].astype(jnp.float32), atol=1e-3)


@given(rows=st.integers(1, 3000), block=st.integers(1, 300))
def test_pieces_cover_every_row(rows, block):
    starts = tables.pieces(rows, block)
    width = min(block, rows)
    covered = np.zeros(rows, bool)
    for start in starts.ravel():
        assert 0 <= start <= rows - width
        covered[start : start + width] = True
    assert covered.all()
    assert starts.size * width < 2 * rows + 33 * width


def test_widest_type_that_fits_is_chosen():
    shape = (162, 50_000, 512)
    assert tables.table_bytes(shape, jnp.float32) == 162 * 50_000 * 512 * 4
    assert tables.table_dtype(shape, 17_000_000_000) == jnp.float32
    assert tables.table_dtype(shape, 12_000_000_000) == jnp.bfloat16
    assert tables.table_dtype(shape, 8_000_000_000) is None


def test_looked_up_targets_equal_the_teacher_inside_the_step(key):
    corpus = load(DataSpec("digits", train_limit=100)).train
    body, read, width = represent(TINY, corpus.image_shape)
    variables = jax.jit(body.init)(key)
    table = tables.build_table(
        read,
        variables,
        corpus,
        CROP_FLIP,
        jax.ShapeDtypeStruct((CROP_FLIP.count, corpus.size, width), jnp.float32),
        say=[].append,
    )
    feed = Uniform(32, target="teacher", views=CROP_FLIP)
    draw = jax.jit(partial(sample, feed))
    cached = {"teacher": TeacherAsset(variables, table)}
    inside = {"teacher": TeacherAsset(variables)}
    for step in range(4):
        batch = draw(corpus, cached, key, step)
        same = draw(corpus, inside, key, step)
        assert same.target is None
        assert len(set(np.asarray(batch.view))) > 4
        direct = read(variables, same.image)
        np.testing.assert_allclose(batch.target, direct, rtol=1e-5, atol=1e-5)
