"""The element-wise permutation: a bijection for every size, and close to uniform."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import rng

_MANY = 4800


@jax.jit
def _rows(key, size, position):
    return rng.permuted(key, position, size)


@jax.jit
def _draws(keys, size):
    """Permutations [len(keys), 17] of a traced size, repeating when it is shorter."""
    position = jnp.arange(17) % size
    return jax.vmap(lambda key: rng.permuted(key, position, size))(keys)


@pytest.mark.parametrize("sizes", [range(1, 40), (63, 64, 65, 255, 256, 257, 1000)])
def test_permuted_is_a_bijection(key, sizes):
    for size in sizes:
        # One length for all sizes: a traced size must not compile anew.
        rows = np.asarray(_rows(key, size, jnp.arange(max(sizes)) % size))
        np.testing.assert_array_equal(np.unique(rows[:size]), np.arange(size))


@pytest.mark.parametrize(
    ("seed", "size", "expected"),
    [
        (0, 10, [2, 0, 3, 8, 7, 4, 5, 1, 9, 6]),
        (7, 16, [15, 11, 3, 7, 6, 4, 13, 2, 14, 8, 0, 9, 1, 12, 10, 5]),
        (1, 60_000, [50171, 37253, 36116]),
    ],
)
def test_permuted_draws_what_it_always_drew(seed, size, expected):
    """Sets are made again from a seed, so the draws themselves must stay."""
    rows = _rows(jax.random.key(seed), size, jnp.arange(len(expected)))
    np.testing.assert_array_equal(rows, expected)


def test_epochs_draw_what_they_always_drew():
    draw = jax.jit(lambda step: rng.epoch_rows(jax.random.key(0), step, 4, 10))
    rows = [draw(step) for step in range(4)]
    expected = [[6, 9, 5, 3], [4, 0, 8, 2], [4, 2, 7, 8], [1, 3, 5, 6]]
    np.testing.assert_array_equal(rows, expected)


def test_permuted_of_a_large_range(key):
    rows = np.asarray(_rows(key, 60_000, jnp.arange(60_000)))
    np.testing.assert_array_equal(np.sort(rows), np.arange(60_000))
    assert (rows == np.arange(60_000)).sum() < 12  # 1 is expected
    assert abs(np.corrcoef(rows[:-1], rows[1:])[0, 1]) < 0.02


def test_permuted_at_single_positions_equals_the_whole(key):
    whole = _rows(key, 37, jnp.arange(37))
    single = jnp.stack([_rows(key, 37, jnp.asarray(i)) for i in range(37)])
    np.testing.assert_array_equal(whole, single)


def test_permuted_under_vmap_with_traced_sizes(key):
    keys, sizes = jax.random.split(key, 5), jnp.asarray([1, 2, 7, 30, 64])
    position = jnp.arange(64)[None] % sizes[:, None]
    together = jax.vmap(rng.permuted)(keys, position, sizes)
    for row, k, p, size in zip(together, keys, position, sizes, strict=True):
        np.testing.assert_array_equal(row, _rows(k, size, p))


def test_permuted_depends_on_the_key(key):
    first, second = (
        np.asarray(_rows(k, 500, jnp.arange(500))) for k in jax.random.split(key)
    )
    assert (first == second).mean() < 0.02


@pytest.mark.parametrize("size", [3, 5, 6, 17])
def test_permuted_is_roughly_uniform(key, size):
    rows = np.asarray(_draws(jax.random.split(key, _MANY), size))
    for column in rows.T[:size]:  # where each element of the range goes
        counts = np.bincount(column, minlength=size)
        chi_square = ((counts - _MANY / size) ** 2 / (_MANY / size)).sum()
        assert chi_square < size + 6 * np.sqrt(2 * size)


def test_permuted_reaches_every_order_of_a_small_range(key):
    rows = np.asarray(_draws(jax.random.split(key, _MANY), 4))[:, :4]
    orders, counts = np.unique(rows, axis=0, return_counts=True)
    assert len(orders) == 24
    assert counts.min() > 120  # 200 are expected
    assert counts.max() < 300
