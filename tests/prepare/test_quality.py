"""The figures that say whether a representation is any good."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Dataset
from jaxdd.prepare.quality import collapse, measure, measured
from tests.prepare.cases import toy_dataset


def _pixels(variables, image):
    """A representation that keeps everything."""
    del variables
    return image.reshape(image.shape[0], -1)


def _constant(variables, image):
    """A representation that has collapsed."""
    del variables
    return jnp.ones((image.shape[0], 5)) * 0.3


def test_collapse_is_one_on_a_sphere_and_zero_at_a_point(key):
    sphere = jax.random.normal(key, (4000, 16))
    assert float(collapse(sphere)) == pytest.approx(1, abs=0.02)
    assert float(collapse(sphere * jnp.arange(1.0, 4001.0)[:, None])) == pytest.approx(
        1, abs=0.02
    )
    assert float(collapse(jnp.ones((10, 16)))) == pytest.approx(0, abs=1e-6)
    assert float(collapse(jnp.zeros((10, 16)))) == 0
    # Everything in one direction, at any length, has collapsed too.
    ray = jnp.linspace(0.1, 5, 50)[:, None] * sphere[:1]
    assert float(collapse(ray)) == pytest.approx(0, abs=1e-5)


@pytest.mark.slow
def test_a_faithful_representation_classifies_and_a_collapsed_one_does_not():
    good = measure(_pixels, (), toy_dataset())
    assert set(good) == set(measured(toy_dataset()))
    assert float(good["knn"]) == 1
    assert float(good["linear_probe"]) == 1
    bad = measure(_constant, (), toy_dataset())
    assert all(np.isfinite(float(v)) for v in bad.values())
    assert float(bad["collapse"]) < 0.01
    assert float(bad["knn"]) < 0.5
    assert float(bad["linear_probe"]) < 0.5


def test_without_labels_only_collapse_is_measured():
    train = dataclasses.replace(toy_dataset().train, num_classes=0, class_names=())
    report = measure(_pixels, (), Dataset(train, None))
    assert tuple(report) == measured(Dataset(train, None)) == ("collapse",)


def test_without_a_test_split_training_images_are_held_out():
    random = measure(
        lambda variables, image: jnp.sin(1e4 * _pixels(variables, image)),
        (),
        Dataset(toy_dataset().train, None),
    )
    assert float(random["knn"]) < 0.8  # the held-out rows are not among the neighbours
