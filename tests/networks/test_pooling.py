"""Pooling: the CPU form equals XLA's windows in value and derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.networks.pooling import pool


@pytest.mark.parametrize("kind", ["avg", "max"])
@pytest.mark.parametrize("shape", [(2, 6, 8, 3), (2, 7, 5, 3)], ids=["even", "odd"])
def test_pool_equals_xla_up_to_second_order(kind, shape, x64):
    image = jnp.asarray(np.random.default_rng(0).standard_normal(shape))

    def derivatives(conv):
        first = jax.grad(lambda i: jnp.sum(jnp.sin(pool(i, kind, conv))))
        second = jax.grad(lambda i: jnp.sum(jnp.cos(first(i))))
        return pool(image, kind, conv), first(image), second(image)

    ours, theirs = jax.jit(derivatives, static_argnums=0), derivatives
    for a, b in zip(ours("cpu"), theirs("stock"), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("kind", ["avg", "max"])
def test_pool_by_rows_equals_xla_in_forward_mode(kind, x64):
    image = jnp.asarray(np.random.default_rng(0).standard_normal((2, 7, 6, 3)))

    def derivatives(conv):
        first = jax.grad(lambda i: jnp.sum(jnp.sin(pool(i, kind, conv))))
        return jax.jvp(first, (image,), (jnp.cos(image),))

    for a, b in zip(derivatives("rows"), derivatives("stock"), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("conv", ["cpu", "rows", "stock"])
def test_the_first_of_equal_pixels_has_the_derivative(conv):
    image = jnp.asarray([[1, 2, 0, 0], [2, 2, 0, 3.0]])[None, :, :, None]
    gradient = jax.grad(lambda i: jnp.sum(pool(i, "max", conv)))(image)
    expected = [[0, 1, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(gradient[0, :, :, 0], expected)


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_pool_max_keeps_what_is_not_a_number(place):
    image = jnp.ones((1, 2, 2, 1)).at[(0, *place)].set(jnp.nan)
    assert jnp.isnan(pool(image, "max", "cpu")).all()


def test_pool_none_keeps_the_map():
    image = jnp.ones((1, 3, 3, 2))
    assert pool(image, "none", "cpu") is image
