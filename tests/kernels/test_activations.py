"""Gaussian averages of activations: closed forms, quadrature, safe derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import erf

from jaxdd.kernels.activations import ACTIVATIONS
from tests.helpers import finite_difference


def pair_of(name, covariance, variance1, variance2, tangent=1.0):
    """Activation of scalars or arrays, as (covariance, tangent)."""
    one = ACTIVATIONS[name]
    scales = (one.scale(jnp.asarray(k)) for k in (variance1, variance2))
    covariance = jnp.asarray(covariance)
    return one.pair((covariance, tangent * jnp.ones_like(covariance)), *scales)


def test_relu_is_the_arc_cosine_kernel(x64):
    cosine = np.linspace(-0.99, 0.99, 23)
    angle, sizes = np.arccos(cosine), (1.7, 0.4)
    product = np.sqrt(sizes[0] * sizes[1])
    first = product * (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi)
    out, slope = pair_of("relu", product * cosine, *sizes)
    np.testing.assert_allclose(out, first, atol=1e-15)
    np.testing.assert_allclose(slope, (np.pi - angle) / (2 * np.pi), atol=1e-15)


def test_erf_by_quadrature(x64):
    """E erf(u) erf(v), and E erf'(u) erf'(v)."""
    k1, k2, covariance = 0.8, 1.3, -0.6
    node, weight = np.polynomial.hermite_e.hermegauss(60)
    weight = weight / weight.sum()
    u = np.sqrt(k1) * node[:, None]
    v = covariance / k1 * u + np.sqrt(k2 - covariance**2 / k1) * node
    both = weight[:, None] * weight
    slope = lambda x: 2 / np.sqrt(np.pi) * np.exp(-(x**2))
    out, tangent = pair_of("erf", covariance, k1, k2)
    np.testing.assert_allclose(out, (both * erf(u) * erf(v)).sum(), rtol=1e-9)
    np.testing.assert_allclose(tangent, (both * slope(u) * slope(v)).sum(), rtol=1e-9)


@pytest.mark.parametrize("name", ["relu", "erf"])
def test_variance_is_the_covariance_with_itself(name, x64):
    k = jnp.asarray([0.0, 0.3, 2.0])
    out, _ = pair_of(name, k, k, k)
    np.testing.assert_allclose(ACTIVATIONS[name].variance(k), out, atol=1e-14)


def test_float32_angles_are_as_good_as_float64():
    cosine = np.linspace(-1, 1, 4001, dtype=np.float32)
    out, slope = pair_of("relu", cosine, np.float32(1), np.float32(1))
    wide = cosine.astype(np.float64)
    angle = np.arccos(wide)
    exact = (np.sin(angle) + (np.pi - angle) * wide) / (2 * np.pi)
    np.testing.assert_allclose(out, exact, atol=2e-7)
    np.testing.assert_allclose(slope, (np.pi - angle) / (2 * np.pi), atol=1e-7)


@pytest.mark.parametrize("name", ["relu", "erf"])
def test_derivatives_by_differences(name, x64):
    def total(inputs):
        covariance, k1, k2, tangent = inputs
        out, slope = pair_of(name, covariance, k1, k2, tangent)
        return out**2 + slope

    inputs = [jnp.asarray(v) for v in (0.5, 1.2, 0.7, 1.4)]
    for slope, ours in finite_difference(total, inputs):
        np.testing.assert_allclose(ours, slope, rtol=1e-8)
    again = lambda x: jax.grad(total)(x)[0]
    for slope, ours in finite_difference(again, inputs):
        np.testing.assert_allclose(ours, slope, rtol=1e-7)


@pytest.mark.parametrize("covariance", [1.0, 1.0000002, -1.0, 0.9999999, 0.0])
def test_relu_derivative_where_it_has_none(covariance):
    """At equal or opposite directions the angle's part is left out."""
    slope = jax.grad(lambda k: pair_of("relu", k, 1.0, 1.0, 0.0)[0])
    both = jax.grad(lambda k: sum(pair_of("relu", k, 1.0, 1.0)))(covariance)
    assert np.isfinite(both)
    if abs(covariance) >= 1:
        np.testing.assert_allclose(both, slope(covariance), atol=1e-6)


def test_relu_of_a_zero_side_is_zero_with_zero_derivative():
    total = lambda k1, k2: sum(pair_of("relu", 0.0, k1, k2))
    values = jax.value_and_grad(total, (0, 1))(0.0, 2.0)
    assert jax.tree.leaves(values) == [0, 0, 0]
