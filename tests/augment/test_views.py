"""Enumerable views against slices written by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.augment import apply_view
from jaxdd.records import Views

VIEWS = Views(crop=2, flip=True)


@pytest.mark.slow
def test_every_view_is_its_padded_crop_and_flip():
    image = np.random.default_rng(0).random((1, 4, 5, 3)).astype(np.float32)
    padded = np.pad(image[0], ((2, 2), (2, 2), (0, 0)))
    many = np.repeat(image, VIEWS.count, 0)
    out = apply_view(jnp.asarray(many), jnp.arange(VIEWS.count), VIEWS)
    expected = [
        padded[dy : dy + 4, dx : dx + 5][:, :: -1 if flip else 1]
        for flip in range(2)
        for dy in range(5)
        for dx in range(5)
    ]
    np.testing.assert_array_equal(out, np.stack(expected))


def test_identity_view_changes_nothing():
    image = jax.random.uniform(jax.random.key(0), (3, 4, 4, 1))
    for views in (VIEWS, Views(), Views(crop=1), Views(flip=True)):
        same = apply_view(image, jnp.full(3, views.identity), views)
        np.testing.assert_array_equal(same, image)


def test_views_without_crop_only_flip():
    image = jax.random.uniform(jax.random.key(0), (2, 3, 4, 1))
    out = apply_view(image, jnp.array([0, 1]), Views(flip=True))
    np.testing.assert_array_equal(out[0], image[0])
    np.testing.assert_array_equal(out[1], image[1, :, ::-1])
