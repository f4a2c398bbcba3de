"""Kernel ridge regression: values, derivatives, failures and conventions."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxdd.errors import InputError
from jaxdd.kernels import ridge as krr
from jaxdd.kernels.ridge import FREPO, KIP, KRR_ST, RCIG, RFAD, Ridge
from tests.helpers import finite_difference


def problem(m=5, d=9, k=3, n=4, seed=0, dtype=float):
    """Features, targets, new features, and the coefficients of a linear loss."""
    rng = np.random.default_rng(seed)
    shapes = [(m, d), (m, k), (n, d), (n, k)]
    return [jnp.asarray(rng.standard_normal(s), dtype) for s in shapes]


@partial(jax.jit, static_argnames=("ridge", "refine"))
def predictions(f_s, y_s, f_t, ridge, refine=1):
    predict, _ = krr.fit_features(f_s, y_s, ridge, refine=refine)
    return predict(f_t)


@partial(jax.jit, static_argnames="ridge")
def report(f_s, y_s, ridge):
    predict, info = krr.fit_features(f_s, y_s, ridge)
    return predict(f_s), info


fit = jax.jit(krr.fit, static_argnames=("ridge", "refine"))


@partial(jax.jit, static_argnames="ridge")
def dual_predictions(f_s, y_s, f_t, ridge):
    alpha, _ = fit(f_s @ f_s.T, y_s, ridge)
    return krr.predict(f_t @ f_s.T, alpha)


@pytest.mark.parametrize("value", [0.0, -1e-6, float("nan"), float("inf")])
def test_ridge_must_be_positive(value):
    with pytest.raises(InputError, match=r"above 0"):
        Ridge(value)


def test_ridge_scale_must_be_known():
    with pytest.raises(InputError, match=r"mean_trace"):
        Ridge(1e-6, "median")  # pyright: ignore[reportArgumentType]


def test_published_conventions_in_units_of_the_mean_eigenvalue(x64):
    # Card kernel_ssl, table of ridges: KRR-ST is not divided by m.
    trace, rows = jnp.float64(40.0), 10
    relative = {r: float(r.strength(trace, rows)) / 4 for r in (KRR_ST, KIP, RFAD)}
    np.testing.assert_allclose(list(relative.values()), [1e-5, 1e-6, 5e-3])
    np.testing.assert_allclose(float(RCIG.strength(trace, rows)), 5e-3)


def test_only_krr_st_detaches_the_trace(x64):
    slope = [jax.grad(r.strength)(jnp.float64(3.0), 5) for r in (KRR_ST, KIP, RFAD)]
    np.testing.assert_allclose(slope, [0, 1e-6 / 5, 5e-3 / 5])


@pytest.mark.parametrize("ridge", [KRR_ST, RFAD])
@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6)])
def test_dual_equals_primal(x64, shape, ridge):
    f_s, y_s, f_t, _ = problem(*shape)
    gram = np.asarray(f_s @ f_s.T)
    lam = float(ridge.strength(jnp.trace(gram), shape[0]))
    primal = np.linalg.solve(f_s.T @ f_s + lam * np.eye(shape[1]), f_s.T @ y_s)
    ours = predictions(f_s, y_s, f_t, ridge)
    # lam as small as these leaves a condition number of about 1e8 where m > d.
    np.testing.assert_allclose(ours, f_t @ primal, rtol=1e-7, atol=1e-7)
    if ridge.value > 1e-3:
        np.testing.assert_allclose(ours, f_t @ primal, rtol=1e-10, atol=1e-10)
        dual = dual_predictions(f_s, y_s, f_t, ridge)
        np.testing.assert_allclose(ours, dual, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("ridge", [KRR_ST, RFAD, RCIG, Ridge(1e-2, "trace")])
def test_gradient_equals_closed_form(x64, ridge):
    # Card 8.2, for L = <P, G>: no differentiation through the factorisation.
    f_s, y_s, f_t, g = (np.asarray(v) for v in problem())
    rows = len(f_s)
    gram, cross = f_s @ f_s.T, f_t @ f_s.T
    matrix = gram + float(ridge.strength(jnp.trace(gram), rows)) * np.eye(rows)
    alpha, w = np.linalg.solve(matrix, y_s), np.linalg.solve(matrix, cross.T @ g)
    d_matrix = -w @ alpha.T
    rho = 0.0 if ridge.stop_gradient else float(jax.grad(ridge.strength)(1.0, rows))
    d_matrix = d_matrix + rho * np.trace(d_matrix) * np.eye(rows)
    d_f = (d_matrix + d_matrix.T) @ f_s + (g @ alpha.T).T @ f_t

    def loss(f, y):
        return jnp.sum(predictions(f, y, jnp.asarray(f_t), ridge) * g)

    ours = jax.grad(loss, (0, 1))(jnp.asarray(f_s), jnp.asarray(y_s))
    np.testing.assert_allclose(ours[0], d_f, rtol=1e-9, atol=1e-9 * np.abs(d_f).max())
    np.testing.assert_allclose(ours[1], w, rtol=1e-9, atol=1e-9 * np.abs(w).max())


@pytest.mark.parametrize(
    ("shape", "ridge"), [((5, 9), FREPO), ((5, 9), RCIG), ((9, 5), RFAD)]
)
def test_gradient_equals_finite_differences(x64, shape, ridge):
    f_s, y_s, f_t, g = problem(*shape)
    loss = jax.jit(lambda t: jnp.sum(jnp.sin(predictions(*t, f_t, ridge)) * g))
    for slope, inner in finite_difference(loss, (f_s, y_s)):
        np.testing.assert_allclose(inner, slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5)])
def test_hessian_vector_product(x64, shape):
    f_s, y_s, f_t, g = problem(*shape)
    gradient = jax.jit(
        jax.grad(lambda f: jnp.sum(jnp.sin(predictions(f, y_s, f_t, RFAD)) * g))
    )
    way = problem(*shape, seed=1)[0]
    forward = jax.jvp(gradient, (f_s,), (way,))[1]
    backward = jax.grad(lambda f: jnp.vdot(gradient(f), way))(f_s)
    eps = 1e-5
    slope = (gradient(f_s + eps * way) - gradient(f_s - eps * way)) / (2 * eps)
    np.testing.assert_allclose(forward, slope, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(backward, forward, rtol=1e-8, atol=1e-8)


def deficient(kind):
    """Supports that float32 cannot factor at a ridge of 1e-6 of the mean eigenvalue."""
    rng = np.random.default_rng(3)
    base = rng.standard_normal((40, 60)).astype(np.float32)
    rows = {
        "duplicates": np.concatenate([base, base]),
        "more rows than features": rng.standard_normal((80, 6)).astype(np.float32),
    }
    return jnp.asarray(rows[kind])


@pytest.mark.parametrize("kind", ["duplicates", "more rows than features"])
def test_retry_until_the_factor_exists(kind):
    f_s = deficient(kind)
    y_s = f_s[:, :2]
    ridge = Ridge(1e-9, "mean_trace")
    gram = f_s @ f_s.T
    value, gradient = jax.jit(
        jax.value_and_grad(lambda f: jnp.sum(fit(f @ f.T, y_s, ridge)[0] ** 2))
    )(f_s)
    _, info = fit(gram, y_s, ridge)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert info.ok
    assert 1 <= info.retries <= 6
    mean = float(jnp.trace(gram)) / len(gram)
    expected = min(1e-9 * 10 ** int(info.retries), 1e-3) * mean
    np.testing.assert_allclose(info.ridge, expected, rtol=1e-4)


def test_retry_is_outside_differentiation(x64):
    # With a kernel that needs retries, the gradient is that of the lam finally used.
    gram = jnp.diag(jnp.asarray([1.0, 1.0, -2e-7]))
    y_s = jnp.ones((3, 1))

    def total(k, ridge):
        return jnp.sum(fit(k, y_s, ridge)[0])

    _, info = fit(gram, y_s, Ridge(1e-8, "none"))
    assert info.retries == 2
    slope = jax.grad(total)(gram, Ridge(1e-8, "none"))
    exact = jax.grad(total)(gram, Ridge(float(info.ridge), "none"))
    np.testing.assert_allclose(slope, exact, rtol=1e-9)


def test_well_conditioned_solve_needs_no_retry():
    f_s, y_s, _, _ = problem(dtype=np.float32)
    _, info = fit(f_s @ f_s.T, y_s, KRR_ST)
    assert (int(info.retries), bool(info.ok)) == (0, True)


def test_nan_stays_visible():
    gram = jnp.full((4, 4), jnp.nan)
    alpha, info = fit(gram, jnp.ones((4, 2)), KRR_ST)
    assert np.isnan(alpha).all()
    assert not info.ok
    assert info.retries == 0


@pytest.mark.parametrize("ridge", [KRR_ST, RFAD])
@pytest.mark.parametrize("shape", [(5, 9), (9, 5)])
def test_zero_features_predict_zero(shape, ridge):
    f_s, y_s, f_t, _ = problem(*shape, dtype=np.float32)

    def loss(f, y):
        predict, info = krr.fit_features(f, y, ridge)
        return jnp.sum((predict(f_t) - 1) ** 2), info

    (value, info), gradient = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(
        0 * f_s, y_s
    )
    assert value == f_t.shape[0] * y_s.shape[1]
    assert all(np.isfinite(g).all() for g in gradient)
    assert (float(info.ridge), int(info.retries), bool(info.ok)) == (0, 0, True)
    alpha, _ = fit(jnp.zeros((5, 5)), jnp.ones((5, 2)), ridge)
    np.testing.assert_array_equal(alpha, 0)


def test_permuting_rows_permutes_coefficients(x64):
    f_s, y_s, _, _ = problem()
    order = jnp.asarray([3, 0, 4, 1, 2])
    alpha, _ = fit(f_s @ f_s.T, y_s, RFAD)
    f_p = f_s[order]
    permuted, _ = fit(f_p @ f_p.T, y_s[order], RFAD)
    np.testing.assert_allclose(permuted, alpha[order], rtol=1e-10)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5)])
def test_rotating_features_changes_nothing(x64, shape):
    f_s, y_s, f_t, _ = problem(*shape)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((shape[1],) * 2))[0]
    turned = predictions(f_s @ turn, y_s, f_t @ turn, RFAD)
    np.testing.assert_allclose(turned, predictions(f_s, y_s, f_t, RFAD), rtol=1e-9)


def test_scaling_features_matters_only_to_an_absolute_ridge(x64):
    f_s, y_s, f_t, _ = problem()
    for ridge in (KRR_ST, FREPO, RFAD):
        plain = predictions(f_s, y_s, f_t, ridge)
        np.testing.assert_allclose(
            predictions(7 * f_s, y_s, 7 * f_t, ridge), plain, rtol=1e-8
        )
    absolute = Ridge(0.3, "none")
    plain = predictions(f_s, y_s, f_t, absolute)
    scaled = predictions(7 * f_s, y_s, 7 * f_t, absolute)
    assert np.abs(scaled - plain).max() > 1e-3 * np.abs(plain).max()


def test_limits_of_the_ridge(x64):
    f_s, y_s, _, _ = problem()
    huge = predictions(f_s, y_s, f_s, Ridge(1e12, "none"))
    np.testing.assert_allclose(huge, 0, atol=1e-9)
    tiny = predictions(f_s, y_s, f_s, Ridge(1e-12, "none"))
    np.testing.assert_allclose(tiny, y_s, rtol=1e-8)


def test_vmap_equals_loop():
    stack = [problem(dtype=np.float32, seed=s) for s in range(3)]
    stack.append([0 * stack[0][0], *stack[0][1:]])
    loss = lambda f, y, t, g: jnp.sum(predictions(f, y, t, RFAD) * g)
    both = jax.jit(jax.value_and_grad(loss))
    values, gradients = jax.jit(jax.vmap(both))(
        *map(jnp.stack, zip(*stack, strict=True))
    )
    for row, arguments in enumerate(stack):
        value, gradient = both(*arguments)
        np.testing.assert_allclose(values[row], value, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(gradients[row], gradient, rtol=1e-4, atol=1e-5)


def test_vmap_retries_each_problem_on_its_own():
    gram = jnp.stack([jnp.eye(3), jnp.diag(jnp.asarray([1.0, 1.0, -1e-4]))])
    _, info = jax.jit(jax.vmap(lambda k: fit(k, jnp.ones((3, 1)), FREPO)))(gram)
    np.testing.assert_array_equal(info.retries, [0, 3])


def test_sharded_equals_single_device():
    f_s, y_s, f_t, g = problem(n=16, dtype=np.float32)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    whole = NamedSharding(mesh, PartitionSpec())
    both = jax.jit(
        jax.value_and_grad(lambda f, t, g: jnp.sum(predictions(f, y_s, t, RFAD) * g))
    )
    value, gradient = both(f_s, f_t, g)
    sharded = both(
        jax.device_put(f_s, whole), jax.device_put(f_t, rows), jax.device_put(g, rows)
    )
    np.testing.assert_allclose(sharded[0], value, rtol=1e-5)
    np.testing.assert_allclose(sharded[1], gradient, rtol=1e-5, atol=1e-5)


def correlated(m=60, d=200, seed=0):
    """Positive features with one dominant direction, as a ReLU network gives them."""
    rng = np.random.default_rng(seed)
    latent = rng.standard_normal((m + 20, 30)) * np.arange(1, 31) ** -0.5
    return np.maximum(latent @ rng.standard_normal((30, d)) + 3, 0)


def rank_deficient(kind):
    """Features [120,d] of rank below 120 with targets, and 30 to predict for."""
    y_s = np.random.default_rng(1).standard_normal((120, 3))
    rows = correlated(140, d=40 if kind == "more rows than features" else 200)
    if kind == "duplicates":
        return np.concatenate([rows[:60], rows[:60]]), np.tile(y_s[:60], (2, 1)), rows
    if kind == "centred features":
        rows, y_s = rows - rows[:120].mean(0), y_s - y_s.mean(0)
    return rows[:120], y_s, rows


@pytest.mark.parametrize("form", ["kernel", "features"])
@pytest.mark.parametrize(
    "kind", ["duplicates", "more rows than features", "centred features"]
)
def test_float32_at_a_ridge_of_1e_6_is_float64_at_the_ridge_used(kind, form):
    f_s, y_s, f_t = (np.asarray(v, np.float32) for v in rank_deficient(kind))
    f_t = f_t[-30:]
    if form == "features":
        ours = predictions(f_s, y_s, f_t, KIP)
        _, info = report(f_s, y_s, KIP)
    else:
        alpha, info = fit(f_s @ f_s.T, y_s, KIP)
        ours = f_t @ f_s.T @ alpha
    assert np.isfinite(ours).all()
    assert info.ok
    wide_s, wide_t = f_s.astype(np.float64), f_t.astype(np.float64)
    gram = wide_s @ wide_s.T
    relative = float(info.ridge) / (np.trace(gram) / 120)
    np.testing.assert_allclose(relative, 1e-6 * 10.0 ** int(info.retries), rtol=1e-3)
    matrix = gram + float(info.ridge) * np.eye(120)
    exact = wide_t @ wide_s.T @ np.linalg.solve(matrix, y_s.astype(np.float64))
    error = np.linalg.norm(ours - exact) / np.linalg.norm(exact)
    # Targets that no features explain leave coefficients of size 1/ridge, whose terms
    # cancel in predictions from a kernel, but not from weights of features.
    cancels = kind == "more rows than features" and form == "kernel"
    assert error < (0.3 if cancels else 0.02)


@pytest.mark.parametrize("relative", [1e-3, 5e-3])
def test_bfloat16_features_are_accurate_enough(relative):
    rows = correlated().astype(np.float32)
    f_s, f_t = jnp.asarray(rows[:60]), jnp.asarray(rows[60:])
    y_s = jnp.asarray(np.random.default_rng(1).standard_normal((60, 4)), jnp.float32)
    ridge = Ridge(relative, "mean_trace")
    exact = predictions(f_s, y_s, f_t, ridge)
    half = predictions(f_s.astype(jnp.bfloat16), y_s, f_t.astype(jnp.bfloat16), ridge)
    assert half.dtype == jnp.float32
    error = jnp.linalg.norm(half - exact) / jnp.linalg.norm(exact)
    assert 1e-6 < error < 0.05


def test_refinement_removes_the_error_of_the_factor():
    f_s = correlated()[:60]
    y_s = np.random.default_rng(1).standard_normal((60, 4))
    ridge = Ridge(1e-6, "mean_trace")
    gram = jnp.asarray(f_s @ f_s.T, jnp.float32)
    lam = np.float32(ridge.strength(jnp.trace(gram), 60))
    matrix = np.asarray(gram + lam * np.eye(60, dtype=np.float32), np.float64)
    exact = np.linalg.solve(matrix, y_s.astype(np.float32).astype(np.float64))
    error = []
    for refine in (0, 1, 2):
        alpha, info = fit(gram, jnp.asarray(y_s, jnp.float32), ridge, refine=refine)
        error.append(np.linalg.norm(alpha - exact) / np.linalg.norm(exact))
    assert info.condition < np.linalg.cond(matrix)
    assert error[0] > 1e-5
    assert error[1] < error[0] / 20
    assert error[2] < 1e-6


def test_condition_bounds_the_condition_number_from_below(x64):
    f_s, y_s, _, _ = problem(m=6, d=6)
    gram = np.asarray(f_s @ f_s.T)
    _, info = fit(gram, y_s, FREPO)
    exact = np.linalg.cond(gram + float(info.ridge) * np.eye(6))
    assert 1 <= info.condition <= exact * (1 + 1e-9)
    assert info.condition > exact**0.25


@pytest.mark.parametrize("shape", [(5, 9), (9, 5)])
def test_one_factorisation_in_a_train_step(shape):
    f_s, y_s, f_t, g = problem(*shape, dtype=np.float32)

    @jax.jit
    def step(f, y):
        loss = lambda f, y: jnp.sum(jnp.square(predictions(f, y, f_t, KRR_ST) - g))
        gradient = jax.grad(loss, (0, 1))(f, y)
        return f - 0.1 * gradient[0], y - 0.1 * gradient[1]

    program = step.lower(f_s, y_s).compile().as_text()
    assert len(re.findall(r'custom_call_target="[^"]*potrf', program)) == 1
