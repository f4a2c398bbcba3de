"""Batches of short trainings: every row once a pass, rests first, pairs together."""

import jax
import numpy as np

from jaxdd.objectives.chunks import chunks


def test_every_pass_is_a_permutation_cut_into_batches(key):
    rows, weight = chunks(key, 6, 3, 9)
    assert rows.shape == (6, 3)
    assert bool((weight == 1).all())
    passes = np.asarray(rows).reshape(2, 9)
    for one in passes:
        np.testing.assert_array_equal(np.sort(one), np.arange(9))
    assert (passes[0] != passes[1]).any()


def test_the_rest_of_a_pass_comes_first(key):
    rows, weight = chunks(key, 5, 4, 10)
    np.testing.assert_array_equal(weight.sum(1), [2, 4, 4, 2, 4])
    seen = np.asarray(rows)[:3][np.asarray(weight)[:3] > 0]
    np.testing.assert_array_equal(np.sort(seen), np.arange(10))


def test_groups_stay_together_and_odd_batches_are_rounded_down(key):
    rows, weight = chunks(key, 4, 5, 8, group=2)
    assert rows.shape == weight.shape == (4, 4)
    pairs = np.asarray(rows).reshape(4, 2, 2)
    np.testing.assert_array_equal(pairs[..., 1], pairs[..., 0] + 1)
    assert not (pairs[..., 0] % 2).any()
    np.testing.assert_array_equal(np.sort(pairs[:2, :, 0].ravel()), [0, 2, 4, 6])


def test_other_keys_give_other_orders():
    one, _ = chunks(jax.random.key(1), 1, 8, 16)
    other, _ = chunks(jax.random.key(2), 1, 8, 16)
    assert bool((one != other).any())
