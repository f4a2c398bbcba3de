"""The collapsed bound against dense Gaussian processes, in float64."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.objectives.inducing import collapsed_bound

NOISE = 0.3


def problem() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A smooth kernel between 12 points, 4 of them inducing, and two outputs."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((12, 2))
    square = ((x[:, None] - x[None]) ** 2).sum(-1)
    return np.exp(-square / 2), np.arange(4), rng.standard_normal((12, 2))


def bound_of(k, inducing, y, weight=None, jitter=1e-12):
    weight = np.ones(len(k)) if weight is None else weight
    parts = (k[np.ix_(inducing, inducing)], k[inducing], np.diag(k), y)
    return collapsed_bound(
        *map(jnp.asarray, parts), jnp.asarray(NOISE), jnp.asarray(weight), jitter=jitter
    )


def log_density(y: np.ndarray, covariance: np.ndarray) -> float:
    """log N(y; 0, covariance), summed over the columns of y."""
    _, log_det = np.linalg.slogdet(2 * np.pi * covariance)
    quadratic = (y * np.linalg.solve(covariance, y)).sum()
    return -(y.shape[1] * log_det + quadratic) / 2


def test_bound_is_that_of_the_definition(x64) -> None:
    k, inducing, y = problem()
    some = k[:, inducing]
    q = some @ np.linalg.solve(k[np.ix_(inducing, inducing)], some.T)
    expected = log_density(y, q + NOISE * np.eye(12))
    expected -= 2 * np.trace(k - q) / (2 * NOISE)
    bound, mean = bound_of(k, inducing, y)
    np.testing.assert_allclose(bound, expected, rtol=1e-9)
    inner = k[np.ix_(inducing, inducing)] + some.T @ some / NOISE
    posterior = k[np.ix_(inducing, inducing)] @ np.linalg.solve(inner, some.T @ y)
    np.testing.assert_allclose(mean, posterior / NOISE, rtol=1e-7)


def test_bound_is_below_the_likelihood_and_meets_it(x64) -> None:
    k, inducing, y = problem()
    likelihood = log_density(y, k + NOISE * np.eye(12))
    few, _ = bound_of(k, inducing, y)
    more, _ = bound_of(k, np.arange(8), y)
    whole, mean = bound_of(k, np.arange(12), y)
    assert few < more < likelihood
    np.testing.assert_allclose(whole, likelihood, rtol=1e-7)
    ridge = k @ np.linalg.solve(k + NOISE * np.eye(12), y)
    np.testing.assert_allclose(mean, ridge, rtol=1e-5, atol=1e-7)


def test_rows_of_weight_zero_are_none_and_of_two_are_twice(x64) -> None:
    k, inducing, y = problem()
    weight = np.array([1.0, 2.0, *[1.0] * 9, 0.0])
    rows = np.array([0, 1, 1, *range(2, 11)])
    apart, mean = bound_of(k, inducing, y, weight)
    parts = (k[np.ix_(inducing, inducing)], k[np.ix_(inducing, rows)])
    again, same = collapsed_bound(
        *map(jnp.asarray, (*parts, np.diag(k)[rows], y[rows])),
        jnp.asarray(NOISE),
        jnp.ones(12),
        jitter=1e-12,
    )
    np.testing.assert_allclose(apart, again, rtol=1e-10)
    np.testing.assert_allclose(mean, same, rtol=1e-8)


def test_gradient_is_that_of_the_dense_bound(x64) -> None:
    k, inducing, y = problem()

    def dense(k_mn: jax.Array) -> jax.Array:
        k_mm = jnp.asarray(k[np.ix_(inducing, inducing)])
        q = k_mn.T @ jnp.linalg.solve(k_mm, k_mn)
        cover = q + NOISE * jnp.eye(12)
        _, log_det = jnp.linalg.slogdet(2 * jnp.pi * cover)
        value = -(2 * log_det + jnp.sum(y * jnp.linalg.solve(cover, y))) / 2
        return value - 2 * jnp.trace(k - q) / (2 * NOISE)

    def ours(k_mn: jax.Array) -> jax.Array:
        k_mm, diagonal = k[np.ix_(inducing, inducing)], np.diag(k)
        given = map(jnp.asarray, (diagonal, y, NOISE, np.ones(12)))
        return collapsed_bound(jnp.asarray(k_mm), k_mn, *given, jitter=1e-13)[0]

    start = jnp.asarray(k[inducing])
    np.testing.assert_allclose(
        jax.grad(ours)(start), jax.grad(dense)(start), rtol=1e-6, atol=1e-8
    )
