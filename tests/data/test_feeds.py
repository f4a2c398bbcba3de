"""Batches: right rows, right images, and a pure function of key and step."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import whiten
from jaxdd.augment.views import apply_view
from jaxdd.base import (
    ExpertsAsset,
    Nothing,
    PerClass,
    Segments,
    TeacherAsset,
    Uniform,
    Variables,
)
from jaxdd.data.corpus import build
from jaxdd.data.feeds import draw_segments, sample
from jaxdd.errors import InputError
from jaxdd.records import AugmentSpec, Views
from tests.helpers import identity_whitening, toy_corpus, toy_images

VIEWS = Views(crop=1, flip=True)


@pytest.fixture(scope="module")
def corpus():
    """48 rows, 12 of each class."""
    return toy_corpus()


@pytest.fixture(scope="module")
def uneven():
    """Classes of 12, 5, 12 and 1 rows."""
    image, label = toy_images()
    keep = np.zeros(len(label), bool)
    for c, count in enumerate((12, 5, 12, 1)):
        keep[np.flatnonzero(label == c)[:count]] = True
    return build(image[keep], label[keep], identity_whitening(), name="uneven")


# Jitted: one compilation instead of one for every small operation.
_sample = jax.jit(sample, static_argnums=0)


def _many(feed, corpus, key, steps, assets=None):
    """The batches of many steps, stacked, by one compilation."""

    def body(carry, step):
        return carry, sample(feed, corpus, assets or {}, key, step)

    return jax.jit(lambda: jax.lax.scan(body, 0, jnp.asarray(steps)))()[1]


def _plain(corpus, index):
    return whiten.apply(corpus.whitening, whiten.to_unit(corpus.image[index]))


def test_every_row_once_per_epoch(corpus, key):
    batches = _many(Uniform(8), corpus, key, range(18))
    epochs = np.asarray(batches.index).reshape(3, 48)
    for epoch in epochs:
        np.testing.assert_array_equal(np.sort(epoch), np.arange(48))
    assert (epochs[0] != epochs[1]).any()
    assert (epochs[1] != epochs[2]).any()
    np.testing.assert_array_equal(batches.target, corpus.label[batches.index])
    np.testing.assert_allclose(batches.image, _plain(corpus, batches.index), atol=1e-6)
    np.testing.assert_array_equal(batches.weight, np.ones((18, 8)))
    assert batches.view is None
    assert batches.image.dtype == jnp.float32


def test_the_last_partial_batch_of_an_epoch_is_dropped(corpus, key):
    index = np.asarray(_many(Uniform(20), corpus, key, range(40)).index)
    for epoch in index.reshape(20, 40):
        assert len(set(epoch)) == 40
    # What is left out changes from epoch to epoch, so that every row is seen.
    assert len(set(index.ravel())) == 48


@pytest.mark.parametrize("batch", [48, 49, 1000])
def test_a_small_data_set_is_used_whole(corpus, key, batch):
    drawn = _sample(Uniform(batch), corpus, {}, key, 3)
    np.testing.assert_array_equal(drawn.index, np.arange(48))
    np.testing.assert_array_equal(drawn.target, corpus.label)


@pytest.mark.parametrize("feed", [Uniform(8, views=VIEWS), PerClass(5), Uniform(64)])
def test_stepwise_scanned_and_vmapped_are_the_same(corpus, key, feed):
    steps = jnp.asarray([0, 5, 6, 1000, 123_456])
    scanned = _many(feed, corpus, key, steps)
    stepwise = [_sample(feed, corpus, {}, key, step) for step in steps]
    together = jax.tree.map(lambda *rows: jnp.stack(rows), *stepwise)
    jax.tree.map(np.testing.assert_array_equal, together, scanned)
    keys = jax.random.split(key, 3)
    vmapped = jax.jit(jax.vmap(lambda k: sample(feed, corpus, {}, k, 7)))(keys)
    for i, k in enumerate(keys):
        row = jax.tree.map(lambda leaf, i=i: leaf[i], vmapped)
        alone = _sample(feed, corpus, {}, k, steps[0] + 7)
        jax.tree.map(np.testing.assert_array_equal, row, alone)


def test_the_key_and_the_step_decide(corpus, key):
    feed = Uniform(8)
    other, _ = jax.random.split(key)
    first = _sample(feed, corpus, {}, key, 0).index
    assert (first != _sample(feed, corpus, {}, other, 0).index).any()
    assert (first != _sample(feed, corpus, {}, key, 1).index).any()


def test_views_are_applied_before_whitening(corpus, key):
    image, label = toy_images()
    whitening = whiten.fit("standard", image)
    white = build(image, label, whitening, name="white")
    batch = _sample(Uniform(16, views=VIEWS), white, {}, key, 2)
    unit = whiten.to_unit(jnp.asarray(image)[batch.index])
    moved = apply_view(unit, batch.view, VIEWS)
    assert float(jnp.abs(moved - unit).max()) > 0.1
    expected = whiten.apply(whitening, moved)
    np.testing.assert_allclose(batch.image, expected, atol=1e-5)


def test_views_are_independent_and_uniform(corpus, key):
    batches = _many(Uniform(8, views=VIEWS), corpus, key, range(450))
    view = np.asarray(batches.view)
    counts = np.bincount(view.ravel(), minlength=VIEWS.count)
    assert len(counts) == 18
    assert counts.min() > 140  # 200 are expected
    assert counts.max() < 260
    assert len({tuple(row) for row in view}) > 440
    # The order of the rows does not depend on whether there are views.
    plain = _many(Uniform(8), corpus, key, range(12))
    np.testing.assert_array_equal(batches.index[:12], plain.index)


@pytest.mark.parametrize("views", [Views(), VIEWS])
def test_teacher_targets_are_looked_up(corpus, key, views):
    table = jax.random.normal(key, (views.count, 48, 3)).astype(jnp.bfloat16)
    feed = Uniform(8, target="teacher", views=views)
    teacher = TeacherAsset(Variables({}, {}), table)
    batch = _sample(feed, corpus, {"teacher": teacher}, key, 4)
    view = np.zeros(8, int) if views.count == 1 else batch.view
    assert batch.target.dtype == jnp.float32
    expected = table[view, batch.index].astype(jnp.float32)
    np.testing.assert_array_equal(batch.target, expected)
    without = TeacherAsset(Variables({}, {}))
    assert _sample(feed, corpus, {"teacher": without}, key, 4).target is None


def test_per_class_draws_distinct_rows_of_each_class(corpus, key):
    batches = _many(PerClass(5), corpus, key, range(200))
    assert batches.image.shape == (200, 4, 5, 8, 8, 1)
    for step in np.asarray(batches.index):
        assert all(len(set(row)) == 5 for row in step)
    np.testing.assert_array_equal(batches.target, corpus.label[batches.index])
    np.testing.assert_array_equal(
        batches.target, np.broadcast_to(np.arange(4)[None, :, None], (200, 4, 5))
    )
    np.testing.assert_array_equal(batches.weight, np.ones((200, 4, 5)))
    np.testing.assert_allclose(batches.image, _plain(corpus, batches.index), atol=1e-6)
    counts = np.bincount(np.asarray(batches.index).ravel(), minlength=48)
    assert counts.min() > 45  # 83 are expected
    assert counts.max() < 125


def test_per_class_pads_small_classes_with_weight_zero(uneven, key):
    batches = _many(PerClass(10), uneven, key, range(50))
    weight, index = np.asarray(batches.weight), np.asarray(batches.index)
    np.testing.assert_array_equal(
        weight.sum(2), np.broadcast_to([[10, 5, 10, 1]], (50, 4))
    )
    for step in range(50):
        for c, count in enumerate((10, 5, 10, 1)):
            valid = index[step, c][weight[step, c] > 0]
            assert len(set(valid)) == count
            assert set(np.asarray(uneven.label)[index[step, c]]) == {c}


def test_per_class_is_no_wider_than_the_largest_class(uneven, key):
    batch = _sample(PerClass(1000), uneven, {}, key, 0)
    assert batch.index.shape == (4, 12)
    np.testing.assert_array_equal(batch.weight.sum(1), [12, 5, 12, 1])


def test_per_class_of_unlabelled_data_is_one_group(key):
    image, _ = toy_images()
    corpus = build(image, None, identity_whitening(), name="unlabelled")
    batch = _sample(PerClass(7), corpus, {}, key, 0)
    assert batch.index.shape == (1, 7)
    assert len(set(np.asarray(batch.index)[0])) == 7


def test_per_class_augments_a_share_of_the_rows_before_whitening(corpus, key):
    mirror = AugmentSpec(policy="kip", strategy="flip")
    changed = {}
    for share in (0.0, 0.5, 1.0):
        batch = _sample(PerClass(12, mirror, share), corpus, {}, key, 0)
        plain = np.asarray(_plain(corpus, batch.index))
        same, turned = (
            (np.abs(batch.image - x) < 1e-6).all((2, 3, 4))
            for x in (plain, plain[..., ::-1, :])
        )
        assert (same | turned).all()
        changed[share] = (~same).mean()
    assert changed[0.0] == 0
    assert 0.1 < changed[0.5] < 0.4  # a quarter is expected
    assert 0.3 < changed[1.0] < 0.7


def test_nothing_and_bad_batches(corpus, key):
    assert jax.tree.leaves(sample(Nothing(), corpus, {}, key, 0)) == []
    for feed in (Uniform(0), PerClass(-1)):
        with pytest.raises(InputError, match="must be at least 1"):
            sample(feed, corpus, {}, key, 0)


def test_float64_follows_the_whitening(x64, key):
    image, label = toy_images()
    for kind, dtype in (("standard", jnp.float64), ("none", jnp.float32)):
        corpus = build(image, label, whiten.fit(kind, image), name="any")
        batch = _sample(Uniform(4), corpus, {}, key, 0)
        assert batch.image.dtype == batch.weight.dtype == dtype
        assert batch.index.dtype == batch.target.dtype == jnp.int32


def test_segments_are_pieces_of_trajectories(corpus, key) -> None:
    """Snapshot e of expert i is filled with 10 i + e."""
    numbers = 10 * np.arange(4)[:, None] + np.arange(8)[None]
    snapshots = jnp.asarray(np.repeat(numbers[:, :, None], 3, 2), jnp.float32)
    assets = {"experts": ExpertsAsset(snapshots[:, -1], snapshots)}
    feed = Segments(epochs=2, first=1, last=4, every=True, meta_batch=2)
    batch = _many(feed, corpus, key, range(40), assets)
    piece = batch.extra
    want = 10 * piece.expert + piece.epoch
    assert piece.start.shape == (40, 2, 3)
    assert bool((piece.start == want[..., None]).all())
    for ahead in (1, 2):
        assert bool((piece.target[:, :, ahead - 1] == want[..., None] + ahead).all())
    assert set(np.unique(piece.epoch)) == {1, 2, 3}
    assert np.asarray(batch.step).tolist() == list(range(40))
    rounds = np.asarray(piece.expert).reshape(-1, 4)  # all experts once a round
    assert (np.sort(rounds, 1) == np.arange(4)).all()
    assert len({tuple(order) for order in rounds}) > 3
    single = Segments(epochs=2, first=1, last=4, meta_batch=2)
    alone = sample(single, corpus, assets, key, 7).extra
    assert bool((alone.start == piece.start[7]).all())
    assert bool((alone.target[:, 0] == piece.target[7, :, 1]).all())


def test_segments_start_later_and_later(key) -> None:
    feed = Segments(epochs=1, last=20, ramp_from=5, ramp_steps=30, meta_batch=64)
    draw = jax.jit(lambda step: draw_segments(feed, key, step, 3)[1].max())
    latest = [int(draw(step)) for step in (0, 10, 29, 30, 1000)]
    # Of 64 draws the latest is the last epoch allowed, or nearly.
    bounds = [4, 9, 18, 19, 19]
    assert all(b - 2 <= e <= b for e, b in zip(latest, bounds, strict=True)), latest
