"""Where sets start: images of the right class, and what experts say of them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import ExpertsAsset, Task
from jaxdd.decoders import expert_logits, pixels, teacher_outputs
from jaxdd.decoders.initial import STARTS, first_images, soft_labels
from jaxdd.errors import InputError
from tests.helpers import toy_corpus

LABEL = np.repeat(np.arange(4), 2)


def judge(vector: jax.Array, image: jax.Array) -> jax.Array:
    """Quadrant means [n,4] times one number for each class."""
    four = [
        image[:, i : i + 4, j : j + 4].mean((1, 2, 3)) for i in (0, 4) for j in (0, 4)
    ]
    return jnp.stack(four, 1) * vector[None]


def experts(*rows: tuple[float, ...]) -> ExpertsAsset:
    return ExpertsAsset(jnp.asarray(rows, jnp.float32))


RIGHT = (1.0, 1.0, 1.0, 1.0)


def nearest_rows(corpus, image) -> np.ndarray:
    real = np.asarray(corpus.image, np.float32) / 255
    errors = [np.abs(real - np.asarray(one)).max((1, 2, 3)) for one in image]
    assert max(error.min() for error in errors) < 1e-6
    return np.array([error.argmin() for error in errors])


@pytest.mark.parametrize(
    "start", ["real", "kmeans", "k_center", "representative", "correct"]
)
def test_starts_are_distinct_real_images_of_their_class(start, key):
    corpus = toy_corpus()
    image, rows = first_images(start, key, corpus, 8, 2, (experts(RIGHT), judge))
    found = nearest_rows(corpus, image)
    np.testing.assert_array_equal(found, rows)
    assert len(set(found)) == 8
    np.testing.assert_array_equal(np.asarray(corpus.label)[found], LABEL)


def test_correct_start_asks_the_next_expert_only_for_what_is_missing(key):
    corpus = toy_corpus()
    blind = (1.0, 1.0, 1.0, 0.0)  # never says the last class
    image, _ = first_images(
        "correct", key, corpus, 8, 2, (experts(blind, RIGHT), judge)
    )
    said = np.asarray(judge(jnp.asarray(RIGHT), image)).argmax(1)
    np.testing.assert_array_equal(said, LABEL)
    with pytest.raises(InputError, match="only 0 images of class '3'"):
        first_images("correct", key, corpus, 8, 2, (experts(blind, blind), judge))


def test_representatives_are_clusters_of_logits_not_of_pixels(key):
    # One class whose pixels vary most in a quadrant that the expert does not see.
    corpus = toy_corpus(classes=1, per_class=12)
    pattern = np.zeros((12, 8, 8, 1), np.uint8)
    pattern[:6, :4, :4], pattern[::2, 4:, 4:] = 20, 255
    corpus = dataclasses.replace(corpus, image=jnp.asarray(pattern))
    seen = experts((1.0, 0.0, 0.0, 0.0))
    image, _ = first_images("representative", key, corpus, 2, 2, (seen, judge))
    assert set(np.asarray(image[:, 0, 0, 0] > 0)) == {True, False}


def test_k_center_takes_the_farthest_image_next(key):
    corpus = toy_corpus(classes=1, per_class=4)
    value = np.array([10, 12, 14, 200], np.uint8)
    flat = np.broadcast_to(value[:, None, None, None], (4, 8, 8, 1))
    corpus = dataclasses.replace(corpus, image=jnp.asarray(flat))
    _, rows = first_images("k_center", key, corpus, 3, 3)
    np.testing.assert_array_equal(rows, [2, 3, 0])


def test_class_mean_start_is_the_mean_of_disjoint_shares(key):
    corpus = toy_corpus()
    real = np.asarray(corpus.image, np.float32) / 255
    label = np.asarray(corpus.label)
    means = np.stack([real[label == c].mean(0) for c in range(4)])
    one, rows = first_images("class_mean", key, corpus, 4, 1)
    assert rows is None
    np.testing.assert_allclose(one, means, atol=1e-6)
    three, _ = first_images("class_mean", key, corpus, 12, 3)
    assert float(jnp.abs(three[0] - three[1]).max()) > 0.01
    shares = np.asarray(three).reshape(4, 3, 8, 8, 1)
    np.testing.assert_allclose(shares.mean(1), means, atol=1e-6)


def test_soft_labels_average_the_experts_that_are_right(key):
    corpus = toy_corpus()
    image, _ = first_images("real", key, corpus, 4, 1)
    asset = experts(RIGHT, (3.0, 3.0, 3.0, 3.0), (0.0, 0.0, 0.0, 9.0))
    label = jnp.arange(4)
    found = soft_labels(judge, asset, image, label, "average")
    each = np.stack([judge(vector, image) for vector in asset.last])
    np.testing.assert_allclose(found[0], each[:2, 0].mean(0), rtol=1e-6)
    np.testing.assert_allclose(found[3], each[:, 3].mean(0), rtol=1e-6)
    first = soft_labels(judge, asset, image, label, "first")
    np.testing.assert_allclose(first, each[0], rtol=1e-6)


def test_soft_labels_of_images_nobody_gets_right_are_the_mean_of_all(key):
    image, _ = first_images("real", key, toy_corpus(), 4, 1)
    asset = experts((1.0, 1.0, 1.0, 0.0), (0.5, 1.0, 1.0, 0.0))
    found = soft_labels(judge, asset, image, jnp.arange(4), "average")
    each = np.stack([judge(vector, image) for vector in asset.last])
    np.testing.assert_allclose(found[3], each[:, 3].mean(0), rtol=1e-6)
    assert bool(jnp.isfinite(found).all())


def task() -> Task:
    return Task((8, 8, 1), 4, 8, 2, 1, 48)


def test_pixels_learn_labels_that_start_at_the_experts_logits(key):
    asset = experts(RIGHT, (2.0, 2.0, 2.0, 2.0))
    labels = expert_logits(task(), judge, "average")
    decoder = pixels(task(), init="correct", judge=judge, targets=labels)
    params = decoder.init(key, toy_corpus(), {"experts": asset})
    whole = decoder.decode(params, {}, key)
    np.testing.assert_array_equal(whole.target.argmax(1), LABEL)
    np.testing.assert_allclose(
        whole.target, 1.5 * judge(jnp.asarray(RIGHT), params["image"]), rtol=1e-5
    )
    assert decoder.floats(params) == 8 * 64 + 8 * 4


def test_starts_that_need_what_is_missing_are_refused():
    with pytest.raises(InputError, match="Did you mean"):
        pixels(task(), init="kmean")
    with pytest.raises(InputError, match="asks experts"):
        pixels(task(), init="correct")
    with pytest.raises(InputError, match="teacher's outputs"):
        pixels(task(), init="class_mean", targets=teacher_outputs(lambda v, x: x))


@pytest.mark.parametrize("start", STARTS)
def test_pixels_start_everywhere_with_the_right_shapes(start, key):
    params = pixels(task(), init=start).init(key, toy_corpus(), {})
    assert params["image"].shape == (8, 8, 8, 1)
    assert bool(jnp.isfinite(params["image"]).all())
