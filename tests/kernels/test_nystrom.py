"""Low-rank approximations: against LAPACK and dense formulas."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import lapack

from jaxdd.errors import InputError
from jaxdd.kernels.nystrom import diagonal, low_rank, preconditioner
from tests.kernels.toy_kernel import bell, images


def gram(m=12, d=40, seed=0):
    rows = np.random.default_rng(seed).standard_normal((m, d))
    return jnp.asarray(rows @ rows.T)


@partial(jax.jit, static_argnums=1)
def of_matrix(k_ss, rank):
    return low_rank(jnp.diagonal(k_ss), lambda i: k_ss[i], rank)


def test_pivots_and_factor_are_lapacks(x64):
    k_ss = gram()
    pivots, factor, left = of_matrix(k_ss, 12)
    lower, order, rank, _ = lapack.dpstrf(np.asarray(k_ss), lower=1)
    np.testing.assert_array_equal(pivots, order - 1)
    assert rank == 12
    np.testing.assert_allclose(factor[pivots], np.tril(lower), atol=1e-10)
    np.testing.assert_allclose(factor @ factor.T, k_ss, atol=1e-10)
    assert left < 1e-10


def test_few_landmarks_give_the_nystrom_approximation(x64):
    k_ss = gram()
    pivots, factor, left = of_matrix(k_ss, 4)
    cross, core = k_ss[:, pivots], k_ss[pivots][:, pivots]
    expected = cross @ np.linalg.solve(core, cross.T)
    np.testing.assert_allclose(factor @ factor.T, expected, rtol=1e-9)
    np.testing.assert_allclose(left, jnp.trace(k_ss - expected), rtol=1e-9)


def test_landmarks_stop_where_nothing_is_left():
    rows = np.random.default_rng(0).standard_normal((20, 3)).astype(np.float32)
    k_ss = jnp.asarray(np.concatenate([rows, rows]) @ np.concatenate([rows, rows]).T)
    _, factor, left = of_matrix(k_ss, 8)
    assert np.isfinite(factor).all()
    assert np.linalg.matrix_rank(np.asarray(factor)) == 3
    np.testing.assert_array_equal(factor[:, 3:], 0)
    assert left < 1e-3 * jnp.trace(k_ss)
    np.testing.assert_allclose(factor @ factor.T, k_ss, atol=1e-4)


@pytest.mark.parametrize("rank", [0, 13])
def test_number_of_landmarks_is_checked(rank):
    k_ss = gram()
    with pytest.raises(InputError, match=rf"{rank} landmarks of 12 rows"):
        of_matrix(k_ss, rank)


def test_preconditioner_is_its_formula(x64):
    factor = jnp.asarray(np.random.default_rng(0).standard_normal((9, 4)))
    lam, right = jnp.asarray(0.3), images(9, 1, (2,))
    values, directions = np.linalg.eigh(np.asarray(factor @ factor.T))
    known, values = directions[:, 5:], values[5:]
    rest = np.eye(9) - known @ known.T
    matrix = known @ np.diag((values[0] + 0.3) / (values + 0.3)) @ known.T + rest
    np.testing.assert_allclose(preconditioner(factor, lam)(right), matrix @ right)


def test_preconditioned_condition_number(x64):
    # With all landmarks what is left is the identity, up to scale.
    k_ss, lam = gram(), jnp.asarray(0.1)
    factor = of_matrix(k_ss, 12).factor
    product = preconditioner(factor, lam)(k_ss + lam * jnp.eye(12))
    np.testing.assert_allclose(np.linalg.cond(product), 1, rtol=1e-6)


def test_diagonal_of_a_kernel():
    x = images(7, dtype=jnp.float32)
    expected = jnp.diagonal(2 * bell(x, x))
    ours = diagonal(lambda a, b, v: 2 * bell(a, b), x, chunk=3)
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
