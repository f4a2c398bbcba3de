"""Blocks chosen from a memory budget."""

import jax
import jax.numpy as jnp
import pytest

from jaxdd.base import InputError
from jaxdd.kernels import block_rows, blocked, choose_blocks
from jaxdd.kernels.memory import required_bytes, within

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
    assert block_rows(heavy, X, Y, 2 * whole) == X[0]


def test_rows_that_fit_and_not_far_below(whole):
    budget = whole // 4
    rows = block_rows(heavy, X, Y, budget)
    taken = required_bytes(blocked(heavy, rows), X, Y)
    assert 1 < rows < X[0]
    assert budget / 2 < taken <= budget


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


@pytest.mark.parametrize("choose", [block_rows, choose_blocks])
def test_too_large_even_in_blocks_says_the_bytes(choose):
    with pytest.raises(InputError) as caught:
        choose(heavy, X, Y, 1000)
    text = str(caught.value)
    smallest = blocked(heavy, 1, 1 if choose is choose_blocks else None)
    assert f"{required_bytes(smallest, X, Y):,} bytes" in text
    assert "budget is 1,000 bytes" in text
    assert "24 by 18 images of 8x8x1" in text


def test_variables_may_be_shapes():
    scaled = lambda x1, x2, v: heavy(x1, x2) * v
    shape = jax.ShapeDtypeStruct((), jnp.float32)
    assert block_rows(scaled, X, Y, 1 << 40, variables=shape) == X[0]


def test_what_a_run_has_to_say(whole):
    kernel, lines = within(heavy, X, Y, 2 * whole)
    assert kernel is heavy
    assert f"24 by 18 images: at once, {whole / 1e6:,.1f} MB of" in lines[0]
    kernel, lines = within(heavy, X, Y, whole // 4)
    assert kernel is not heavy
    assert "in blocks of" in lines[0]
    assert within(heavy, X, Y, 0) == (heavy, ())
