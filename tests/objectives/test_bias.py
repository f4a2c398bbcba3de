"""Why the inner problem must not be random, on a problem with closed forms.

Inner loss `(theta - a x)^2 / 2` with a random view a (mean 1, variance s^2), outer
loss `(theta - t)^2 / 2`. The solution is `theta* = x` and the hypergradient `x - t`. A
solver that sees a few draws returns the right solution and the right Jacobian on
average, and yet its hypergradient is biased: both depend on the same draw.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Batch, Network, Output, Synthetic, Variables
from jaxdd.kernels.ridge import KRR_ST
from jaxdd.objectives.regression import krr_mse

X, T, S = 1.5, 0.3, 0.4
TRUE = X - T
DRAWS = 200_000


def hypergradients(inner, views):
    """The implemented estimator dJ(inner(x, views))/dx for each row of views."""
    outer = lambda x, a: 0.5 * (inner(x, a) - T) ** 2
    return jax.jit(jax.vmap(jax.grad(outer), (None, 0)))(X, views)


def draw(*shape):
    return 1 + S * jax.random.normal(jax.random.key(0), shape)


def assert_mean(samples, expected, bias):
    error = float(jnp.std(samples)) / len(samples) ** 0.5
    assert abs(float(jnp.mean(samples)) - expected) < 5 * error
    # A bias must be visible at this number of samples, or the test shows nothing.
    assert bias == 0 or abs(bias) > 10 * error


@pytest.mark.parametrize(("views", "expected"), [(1, 1.440), (4, 1.260)])
def test_exact_solver_with_few_views_is_biased(views, expected):
    # theta = mean(a) x exactly solves the inner problem of these draws.
    bias = S**2 * X / views
    np.testing.assert_allclose(TRUE + bias, expected)
    inner = lambda x, a: jnp.mean(a) * x
    assert_mean(hypergradients(inner, draw(DRAWS, views)), expected, bias)


@pytest.mark.parametrize("steps", [1, 5, 40])
def test_fresh_draws_at_every_step_stay_biased(steps):
    rate = 0.5
    decay = (1 - rate) ** 2
    jacobian = 1 - (1 - rate) ** steps
    bias = X * S**2 * rate**2 * (1 - decay**steps) / (1 - decay)

    def inner(x, a):
        step = lambda theta, a: (theta - rate * (theta - a * x), None)
        return jax.lax.scan(step, 0.0, a)[0]

    samples = hypergradients(inner, draw(DRAWS // 4, steps))
    # At finite T the exact unrolled gradient of the mean problem is the reference.
    assert_mean(samples, jacobian * (jacobian * X - T) + bias, bias)
    if steps == 40:
        np.testing.assert_allclose(bias, X * S**2 * rate / (2 - rate), rtol=1e-6)
        assert abs(float(jnp.mean(samples)) - TRUE) > 0.9 * bias


def test_independent_draws_for_jacobian_and_residual_are_unbiased():
    views = draw(DRAWS, 2)
    assert_mean(views[:, 0] * (views[:, 1] * X - T), TRUE, 0)


def test_a_deterministic_inner_problem_is_exact():
    samples = hypergradients(lambda x, a: x, draw(DRAWS, 1))
    np.testing.assert_allclose(samples, TRUE, rtol=1e-6)
    assert jnp.ptp(samples) == 0


def test_our_inner_path_has_no_variance():
    # Pixels as features: for a fixed batch the gradient is one
    # number whatever the random key, and it changes with the batch.
    def apply(variables, image, *, train=False, key=None):
        assert not train
        assert key is None
        flat = image.reshape(image.shape[0], -1)
        return Output(flat, flat), variables

    network = Network(lambda key: Variables({}, {}), apply, 4, 4, "pixels")
    objective = krr_mse(network, KRR_ST)
    image = jax.random.normal(jax.random.key(1), (8, 2, 2, 1))
    synthetic = Synthetic(image[:3], jnp.ones((3, 2)), jnp.ones(3))

    @jax.jit
    def gradient(key, rows):
        real = image[rows]
        batch = Batch(real, real[:, 0, :, 0], rows, jnp.ones(len(rows)))
        loss = lambda s: objective(s, batch, Variables({}, {}), {}, key)[0]
        change = jax.grad(loss)(synthetic)
        return jnp.concatenate([change.image.ravel(), change.target.ravel()])

    keys = jax.random.split(jax.random.key(2), 6)
    fixed = np.stack([gradient(key, jnp.arange(3, 7)) for key in keys])
    assert np.ptp(fixed, axis=0).max() == 0
    assert np.abs(fixed).max() > 0
    assert np.abs(gradient(keys[0], jnp.arange(4, 8)) - fixed[0]).max() > 1e-6
