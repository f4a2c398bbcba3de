"""Conjugate gradients: as the Cholesky factor, in value and derivatives."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.errors import InputError
from jaxdd.kernels import Ridge, fit, fit_iterative, operator
from jaxdd.kernels.iterative import Operator
from tests.kernels.toy_kernel import bell, images

RIDGE = Ridge(1e-3, "mean_trace")


def correlated(m, d=80, k=3, seed=0, dtype: Any = float):
    """Features with one dominant direction and a decaying rest, and targets."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((m, d)) * np.arange(1, d + 1) ** -1.0
    rows = latent @ np.linalg.qr(rng.standard_normal((d, d)))[0] + 1
    return jnp.asarray(rows, dtype), jnp.asarray(rng.standard_normal((m, k)), dtype)


@pytest.mark.parametrize("landmarks", [0, 12])
def test_iterative_equals_cholesky_in_value_and_gradient(x64, landmarks):
    f_s, y_s = correlated(30)
    way = images(30, 1, (3,))

    def run(solve):
        loss = lambda f, y: (
            lambda answer: (jnp.sum(jnp.sin(answer[0]) * way), answer)
        )(solve(f @ f.T, y))
        return jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(f_s, y_s)

    (value, (alpha, info)), slopes = run(
        lambda k, y: fit_iterative(
            k, y, RIDGE, landmarks=landmarks, tolerance=1e-12, steps=500
        )
    )
    (expected, (exact, report)), others = run(lambda k, y: fit(k, y, RIDGE))
    np.testing.assert_allclose(alpha, exact, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(value, expected, rtol=1e-8)
    for slope, other in zip(slopes, others, strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(slope, other, rtol=1e-6, atol=1e-7 * scale)
    assert info.ok
    assert info.residual < 1e-11
    assert 1 < info.steps < 500
    np.testing.assert_allclose(info.ridge, report.ridge, rtol=1e-12)


def test_operator_equals_the_kernel_it_stands_for(x64):
    x, y_s = images(9), images(9, 1, (2,))
    width = jnp.asarray(1.2)

    def loss(x, y, w, how):
        k_ss = bell(x, x, w) if how is None else operator(bell, x, w, rows=how)
        alpha, _ = fit_iterative(k_ss, y, RIDGE, landmarks=3, tolerance=1e-12)
        return jnp.sum(jnp.sin(alpha))

    run = jax.jit(jax.value_and_grad(loss, (0, 1, 2)), static_argnums=3)
    value, slopes = run(x, y_s, width, None)
    other, parts = run(x, y_s, width, 4)
    np.testing.assert_allclose(other, value, rtol=1e-10)
    for slope, expected in zip(parts, slopes, strict=True):
        np.testing.assert_allclose(slope, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.slow
def test_landmarks_save_steps_and_float32_reaches_the_tolerance():
    f_s, y_s = correlated(200, dtype=jnp.float32)
    ridge = Ridge(1e-4, "mean_trace")
    k_ss = f_s @ f_s.T
    exact, _ = fit(k_ss, y_s, ridge)
    steps = []
    for landmarks in (0, 20, 60):
        alpha, info = jax.jit(
            lambda k, r=landmarks: fit_iterative(k, y_s, ridge, landmarks=r)
        )(k_ss)
        assert alpha.dtype == jnp.float32
        if landmarks:  # without, rounding stops it before
            assert info.ok
            miss = np.linalg.norm(k_ss @ (alpha - exact)) / np.linalg.norm(k_ss @ exact)
            assert miss < 0.02  # what storing either answer in float32 does
        steps.append(int(info.steps))
    assert steps[0] > 2 * steps[1] > 4 * steps[2]


def test_hessian_vector_product_of_an_iterative_solve(x64):
    f_s, y_s = correlated(12, d=20)
    other = correlated(12, d=20, seed=1)[0]

    def gradient(f, solve):
        loss = lambda f: jnp.sum(jnp.sin(solve(f @ f.T)))
        return jax.grad(loss)(f)

    iterative = lambda k: fit_iterative(
        k, y_s, RIDGE, landmarks=4, tolerance=1e-13, steps=200
    )[0]
    direct = lambda k: fit(k, y_s, RIDGE)[0]
    ours, expected = (
        jax.jit(lambda f, w, s=solve: jax.jvp(lambda f: gradient(f, s), (f,), (w,))[1])(
            f_s, other
        )
        for solve in (iterative, direct)
    )
    np.testing.assert_allclose(ours, expected, rtol=1e-5, atol=1e-6)


def test_too_few_steps_are_reported():
    f_s, y_s = correlated(60, dtype=jnp.float32)
    _, info = fit_iterative(f_s @ f_s.T, y_s, RIDGE, landmarks=0, steps=2)
    assert (int(info.steps), bool(info.ok)) == (2, False)
    assert info.residual > 1e-6


def test_zero_kernel_and_zero_targets_give_zero():
    y_s = jnp.ones((5, 2)).at[:, 1].set(0)
    alpha, info = fit_iterative(jnp.zeros((5, 5)), y_s, RIDGE)
    np.testing.assert_array_equal(alpha, 0)
    assert (float(info.ridge), bool(info.ok)) == (0, True)
    alpha, info = fit_iterative(jnp.eye(5), y_s, RIDGE)
    np.testing.assert_array_equal(alpha[:, 1], 0)
    np.testing.assert_allclose(alpha[:, 0], 1 / 1.001, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tolerance": 0.0}, r"tolerance is 0"),
        ({"steps": 0}, r"steps is 0"),
        ({"landmarks": -1}, r"landmarks is -1"),
    ],
)
def test_settings_of_an_iterative_solve_are_checked(options, words):
    with pytest.raises(InputError, match=words):
        fit_iterative(jnp.eye(3), jnp.ones((3, 1)), RIDGE, **options)


def test_operator_holds_no_whole_kernel():
    sizes = []

    def watched(x1, x2, variables=()):
        sizes.append(x1.shape[0] * x2.shape[0])
        return bell(x1, x2, variables)

    def solve(x, y):
        made = operator(watched, x, rows=5)
        assert isinstance(made, Operator)
        return fit_iterative(made, y, RIDGE, landmarks=2)[0]

    jax.eval_shape(
        jax.grad(lambda x, y: jnp.sum(solve(x, y))), images(20), jnp.ones((20, 1))
    )
    assert max(sizes) == 5 * 20
