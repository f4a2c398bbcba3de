"""Random and k-means selections, class means."""

import jax
import numpy as np
import pytest

from jaxdd import select
from jaxdd.errors import InputError
from tests.helpers import toy_corpus


def test_random_rows_are_distinct_and_balanced(key: jax.Array) -> None:
    corpus = toy_corpus()
    rows = np.asarray(select.random_rows(key, corpus, 12, 3))
    assert len(set(rows.tolist())) == 12
    np.testing.assert_array_equal(
        np.asarray(corpus.label)[rows], np.repeat(np.arange(4), 3)
    )
    unlabelled = np.asarray(select.random_rows(key, corpus, corpus.size, None))
    assert sorted(unlabelled) == list(range(corpus.size))


def test_random_rows_follow_the_key(key: jax.Array) -> None:
    corpus = toy_corpus()
    one = select.random_rows(key, corpus, 8, 2)
    other = select.random_rows(jax.random.fold_in(key, 1), corpus, 8, 2)
    assert (np.asarray(one) != np.asarray(other)).any()


@pytest.mark.parametrize("rows", [select.random_rows, select.kmeans_rows])
def test_too_many_rows_are_refused(rows, key: jax.Array) -> None:
    corpus = toy_corpus()
    with pytest.raises(InputError, match="ipc=13: class '0' has only 12 images"):
        rows(key, corpus, 52, 13)
    with pytest.raises(InputError, match="size=49: the training set has only 48"):
        rows(key, corpus, 49, None)


def test_kmeans_with_k_equal_n_returns_every_row(key: jax.Array) -> None:
    corpus = toy_corpus(per_class=4)
    rows = np.asarray(select.kmeans_rows(key, corpus, 16, None))
    assert sorted(rows) == list(range(16))


def test_one_centroid_a_class_is_the_class_mean(key: jax.Array) -> None:
    corpus = toy_corpus()
    centroids = select.kmeans_centroids(key, corpus, 4, 1)
    means = select.class_means(corpus)
    np.testing.assert_allclose(centroids.image, means.image, atol=1e-5)
    np.testing.assert_array_equal(centroids.target, [0, 1, 2, 3])
    white = np.asarray(corpus.image)[np.asarray(corpus.label) == 2] / 255.0
    np.testing.assert_allclose(means.image[2], white.mean(0), atol=1e-6)
