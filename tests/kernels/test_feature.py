"""Features in chunks: exact, and at least float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Output
from jaxdd.errors import InputError
from jaxdd.kernels.feature import chunked, features
from tests.objectives.toy_network import in_float64, toy_network

NETWORK = toy_network((3, 4), (8, 8, 2), 5)


@pytest.fixture(scope="module")
def setting():
    variables = jax.jit(NETWORK.init)(jax.random.key(0))
    image = jax.random.normal(jax.random.key(1), (7, 8, 8, 2))
    return variables, image


def test_features_are_those_of_evaluation_mode(setting):
    variables, image = setting
    ours = features(NETWORK, variables, image)
    expected = NETWORK.apply(variables, image, train=False)[0].features
    np.testing.assert_array_equal(ours, expected)
    # Evaluation mode does not mix the images.
    np.testing.assert_allclose(features(NETWORK, variables, image[:1]), ours[:1], 1e-5)


def test_bias_appends_ones(setting):
    variables, image = setting
    with_bias = features(NETWORK, variables, image, bias=True, chunk=3)
    assert with_bias.shape == (7, NETWORK.feature_dim + 1)
    np.testing.assert_array_equal(with_bias[:, -1], 1)
    np.testing.assert_allclose(
        with_bias[:, :-1], features(NETWORK, variables, image), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
def test_chunks_are_exact_in_value_and_gradient(x64, setting, chunk):
    variables, image = in_float64(setting)
    way = jnp.asarray(np.random.default_rng(0).standard_normal((7, 17)))

    def run(chunk):
        loss = lambda x: jnp.sum(
            jnp.sin(features(NETWORK, variables, x, bias=True, chunk=chunk)) * way
        )
        return jax.jit(jax.value_and_grad(loss))(image)

    whole, parts = run(None), run(chunk)
    np.testing.assert_allclose(parts[0], whole[0], rtol=1e-12)
    np.testing.assert_allclose(parts[1], whole[1], rtol=1e-10, atol=1e-12)
    assert parts[1].dtype == jnp.float64


@pytest.mark.parametrize(("size", "chunk", "computed"), [(7, 3, 9), (50, 32, 50)])
def test_chunks_are_balanced(size, chunk, computed):
    lengths = []

    def double(rows):
        lengths.append(rows.shape[0])
        return 2 * rows

    rows = jnp.arange(2.0 * size).reshape(size, 2)
    np.testing.assert_array_equal(chunked(double, rows, chunk), 2 * rows)
    assert max(lengths) <= chunk
    assert lengths[-1] * -(-size // chunk) == computed


def test_half_precision_bodies_give_float32(setting):
    variables, image = setting

    def apply(variables, image, *, train=False, key=None):
        output, after = NETWORK.apply(variables, image, train=train, key=key)
        return Output(output.logits, output.features.astype(jnp.bfloat16)), after

    half = NETWORK._replace(apply=apply)
    for chunk in (None, 2):
        assert features(half, variables, image, chunk=chunk).dtype == jnp.float32


def test_chunk_below_one_is_an_input_error(setting):
    with pytest.raises(InputError, match=r"chunk is 0.*at least 1"):
        features(NETWORK, *setting, chunk=0)
