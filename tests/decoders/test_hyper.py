"""Learned numbers beside the images: start, reading, storage, positivity."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Task
from jaxdd.decoders import learned_rate, pixels, with_hyper
from jaxdd.errors import InputError
from tests.helpers import toy_corpus


@pytest.fixture
def plain():
    corpus = toy_corpus()
    return pixels(Task(corpus.image_shape, 4, 4, 1, 10, corpus.size))


def test_the_set_brings_its_rate(key: jax.Array, plain) -> None:
    decoder = learned_rate(plain, 0.02)
    params = decoder.init(key, toy_corpus(), {})
    for params_now, want in (
        (params, 0.02),
        ({**params, "hyper": {"log_rate": jnp.float32(-30)}}, np.exp(-30)),
    ):
        synthetic = decoder.decode(params_now, {}, key)
        np.testing.assert_allclose(synthetic.hyper["learning_rate"], want, rtol=1e-6)
    images = plain.decode(plain.init(key, toy_corpus(), {}), {}, key).image
    np.testing.assert_array_equal(synthetic.image, images)
    assert decoder.floats(params) == plain.floats({"image": images}) + 1
    assert decoder.export is not None
    assert decoder.export(params, {}, key).hyper["learning_rate"] > 0


def test_rows_of_a_set_keep_its_numbers(key: jax.Array, plain) -> None:
    decoder = with_hyper(plain, {"rates": np.arange(3.0)}, lambda h: h["rates"] + 1)
    params = decoder.init(key, toy_corpus(), {})
    part = decoder.decode(params, {}, key, jnp.array([2, 0]))
    assert part.image.shape[0] == 2
    np.testing.assert_array_equal(part.hyper, [1, 2, 3])
    np.testing.assert_array_equal(
        decoder.project(params)["hyper"]["rates"], params["hyper"]["rates"]
    )


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan"), float("inf")])
def test_rates_that_are_none(plain, rate: float) -> None:
    with pytest.raises(InputError, match="must be positive"):
        learned_rate(plain, rate)
