"""The vision transformer: patches, dropout, fresh weights, gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.networks import build
from jaxdd.networks.vit import patches
from jaxdd.records import (
    ViT,
)
from tests.helpers import finite_difference

SHAPE = (4, 6, 3)


def small(**options):
    sizes = {"width": (8,), "depth": 2, "heads": 2, "hidden": 5, "patch": 2}
    spec = ViT(**{"norm": "layer", **sizes, **options})
    return build(spec, SHAPE, 3)


def test_patches_are_in_reading_order():
    image = np.arange(2 * 4 * 6 * 3).reshape(2, 4, 6, 3)
    cut = patches(jnp.asarray(image), 2)
    assert cut.shape == (2, 6, 12)
    np.testing.assert_array_equal(cut[1, 4], image[1, 2:4, 2:4].reshape(-1))


@pytest.mark.slow
def test_dropout_needs_training_and_a_key(key):
    network = small(dropout=0.5)
    variables = jax.jit(network.init)(key)
    image = jax.random.normal(key, (2, *SHAPE))

    @partial(jax.jit, static_argnames="train")
    def logits(**options):
        return network.apply(variables, image, **options)[0].logits

    one, other = jax.random.split(key)
    plain = logits()
    np.testing.assert_array_equal(logits(train=True), plain)
    np.testing.assert_array_equal(logits(key=one), plain)
    dropped = logits(train=True, key=one)
    assert np.abs(dropped - plain).max() > 1e-2
    np.testing.assert_array_equal(logits(train=True, key=one), dropped)
    assert np.abs(logits(train=True, key=other) - dropped).max() > 1e-2
    off = small(dropout=0.0)
    output, _ = off.apply(variables, image, train=True, key=one)
    np.testing.assert_allclose(output.logits, plain, atol=1e-6)


def test_fresh_weights_are_drawn_as_pytorch_draws_them(key):
    spec = ViT(width=(64,), depth=1, norm="layer", hidden=512)
    params = jax.jit(build(spec, (8, 8, 3), 3).init)(key).params
    bound = 64**-0.5
    for layer, limit in (("block_0_qkv", bound), ("block_0_mlp_1", 512**-0.5)):
        kernel = params[layer]["kernel"]
        assert np.abs(kernel).max() <= limit
        assert np.std(kernel) == pytest.approx(limit / 3**0.5, rel=0.02)
    assert 0 < np.abs(params["block_0_mlp_0"]["bias"]).max() <= bound
    assert "bias" not in params["block_0_qkv"]
    assert params["place"].shape == (1, 5, 64)
    assert np.std(params["place"]) == pytest.approx(1, abs=0.1)


@pytest.mark.slow_cases("layer")
@pytest.mark.parametrize("norm", ["layer", "none"])
def test_gradients_of_a_small_vit(norm, key, x64):
    network = small(norm=norm)
    variables = jax.jit(network.init)(key)
    image = jax.random.normal(key, (2, *SHAPE), jnp.float64)

    @jax.jit
    def loss(given):
        params, image = given
        output, _ = network.apply(variables._replace(params=params), image, train=True)
        return jnp.sum(jnp.sin(output.logits)) + jnp.sum(output.taps[0] ** 2)

    for slope, inner in finite_difference(loss, (variables.params, image)):
        assert slope == pytest.approx(inner, rel=1e-6)
        assert abs(inner) > 1e-3
