"""Kernels by blocks: exact in value and gradient, in the memory of a block."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.errors import InputError
from jaxdd.kernels import blocked
from jaxdd.kernels.budget import required_bytes
from tests.kernels.toy_kernel import bell, images

SIZES = [(3, None), (None, 2), (2, 3)]  # with and without rows that fill up


def test_blocks_are_exact_in_value_and_gradient(x64):
    x, y, way = images(7), images(5, 1), images(7, 2, (5,))
    width = jnp.asarray(1.3)

    def run(kernel):
        loss = lambda x, y, w: jnp.sum(jnp.sin(kernel(x, y, w)) * way)
        both = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))
        return both(x, y, width)

    whole = run(bell)
    for rows, columns in SIZES:
        loss, slopes = run(blocked(bell, rows, columns))
        np.testing.assert_allclose(loss, whole[0], rtol=1e-13)
        for slope, expected in zip(slopes, whole[1], strict=True):
            np.testing.assert_allclose(slope, expected, rtol=1e-11, atol=1e-13)


def test_blocks_of_a_kernel_with_itself(x64):
    x, way = images(5), images(5, 2, (5,))
    loss = lambda kernel: lambda x: jnp.sum(kernel(x, x) * way)
    whole, parts = (
        jax.jit(jax.grad(loss(kernel)))(x) for kernel in (bell, blocked(bell, 2, 2))
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-11, atol=1e-13)


def test_no_block_is_larger_than_asked_for():
    shapes = []

    def watched(x1, x2, variables=()):
        shapes.append((x1.shape[0], x2.shape[0]))
        return bell(x1, x2, variables)

    jax.eval_shape(blocked(watched, 3, 2), images(7), images(5))
    assert set(shapes) == {(3, 2)}
    value = jax.jit(blocked(bell, 3, 2))(images(7), images(5))
    np.testing.assert_allclose(value, bell(images(7), images(5)), rtol=1e-5)


def test_memory_is_that_of_a_block():
    def large(x1, x2, variables=()):
        """One that keeps 4,096 numbers for each pair until the end."""
        pairs = jnp.sin(x1[:, None] * x2[None]).reshape(x1.shape[0], x2.shape[0], -1)
        return jnp.sum(pairs * pairs[:, :, ::-1], axis=-1)

    shapes = (16, 64, 64, 1), (12, 64, 64, 1)
    whole = required_bytes(large, *shapes)
    few = required_bytes(blocked(large, 4), *shapes)
    fewer = required_bytes(blocked(large, 4, 3), *shapes)
    images_and_gradients = 4 * 4096 * 2 * 28
    assert whole > 4 * 16 * 12 * 4096
    assert few - images_and_gradients < (whole - images_and_gradients) / 3
    assert fewer < few


@pytest.mark.parametrize("size", [{"rows": 0}, {"columns": -1}])
def test_blocks_below_one_image_are_an_input_error(size):
    with pytest.raises(InputError, match=r"(rows|columns) is .*at least 1"):
        blocked(bell, **size)
