"""The learned matrix of the images."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import Task
from jaxdd.decoders import centred, pixels, transformed, with_hyper
from tests.helpers import toy_corpus


def test_images_are_mapped_and_the_matrix_is_not_stored(key):
    corpus = toy_corpus()
    task = Task((8, 8, 1), 4, 4, 1, 10, corpus.size)
    plain = pixels(task, targets=centred(task))
    decoder = with_hyper(transformed(plain), {"log_scale": 0.0})
    params = decoder.init(key, corpus, {})
    assert params["transform"].shape == (64, 64)
    start = decoder.decode(params, {}, key)
    np.testing.assert_allclose(start.image, params["image"], rtol=1e-6)
    matrix = jax.random.normal(key, (64, 64))
    moved = {**params, "transform": matrix}
    for made in (decoder.decode(moved, {}, key), decoder.export(moved, {}, key)):
        flat = np.asarray(params["image"], np.float64).reshape(4, -1)
        expected = (flat @ np.asarray(matrix, np.float64)).reshape(4, 8, 8, 1)
        np.testing.assert_allclose(made.image, expected, rtol=1e-4, atol=1e-4)
        assert made.target.shape == (4, 4)
        assert set(made.hyper) == {"log_scale"}
    some = decoder.decode(moved, {}, key, jnp.array([2, 0]))
    np.testing.assert_allclose(some.image[1], made.image[0], rtol=1e-5, atol=1e-5)
    assert decoder.floats(params) == plain.floats(params) - 64 * 64
    assert decoder.project(moved)["transform"] is matrix
