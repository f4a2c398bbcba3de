"""Blocks chosen from a memory budget."""

import jax
import jax.numpy as jnp
import pytest

from jaxdd.errors import InputError
from jaxdd.kernels import blocked, choose_blocks
from jaxdd.kernels.budget import required_bytes, within

X, Y = (24, 8, 8, 1), (18, 8, 8, 1)


def heavy(x1, x2, variables=()):
    """Holds 16,384 numbers for each pair of images."""
    pairs = (x1[:, None] * x2[None]).reshape(x1.shape[0], x2.shape[0], 1, -1)
    pairs = jnp.sin(pairs * jnp.arange(256.0)[None, None, :, None])
    return jnp.sum(pairs * pairs[:, :, ::-1], axis=(-1, -2))


@pytest.fixture(scope="module")
def whole():
    return required_bytes(heavy, X, Y)


def test_all_rows_where_they_fit(whole):
    blocks = choose_blocks(heavy, X, Y, 2 * whole)
    assert (blocks.rows, blocks.columns) == (X[0], Y[0])


def test_rows_that_fit_and_not_far_below(whole):
    budget = whole // 4
    blocks = choose_blocks(heavy, X, Y, budget)
    assert 1 < blocks.rows < X[0]
    assert budget / 2 < blocks.bytes <= budget


def test_columns_where_a_row_does_not_fit(whole):
    least = required_bytes(blocked(heavy, 1, 1), X, Y)
    row = required_bytes(blocked(heavy, 1), X, Y)
    budget = (least + row) // 2
    blocks = choose_blocks(heavy, X, Y, budget)
    assert blocks.rows == 1
    assert 1 < blocks.columns < Y[0]
    assert blocks.bytes <= budget
    assert blocks.bytes == required_bytes(blocked(heavy, 1, blocks.columns), X, Y)


def test_a_value_takes_less_than_a_gradient(whole):
    assert required_bytes(heavy, X, Y, gradient=False) < whole


def test_too_large_even_in_blocks_says_the_bytes():
    with pytest.raises(InputError) as caught:
        choose_blocks(heavy, X, Y, 1000)
    text = str(caught.value)
    assert f"{required_bytes(blocked(heavy, 1, 1), X, Y):,} bytes" in text
    assert "budget is 1,000 bytes" in text
    assert "24 by 18 images of 8x8x1" in text


def test_variables_may_be_shapes():
    scaled = lambda x1, x2, v: heavy(x1, x2) * v
    shape = jax.ShapeDtypeStruct((), jnp.float32)
    assert choose_blocks(scaled, X, Y, 1 << 40, variables=shape).rows == X[0]


def test_what_a_run_has_to_say(whole):
    kernel, lines = within(heavy, X, Y, 2 * whole)
    assert kernel is heavy
    assert f"24 by 18 images: at once, {whole / 1e6:,.1f} MB of" in lines[0]
    kernel, lines = within(heavy, X, Y, whole // 4)
    assert kernel is not heavy
    assert "in blocks of" in lines[0]
    assert within(heavy, X, Y, 0) == (heavy, ())
