"""Normalisation: values, gradients, precision and running statistics."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.networks.norm import EPSILON, BatchNorm, SampleNorm
from tests.helpers import finite_difference

AXES = {"instance": (1, 2), "layer": (1, 2, 3), "batch": (0, 1, 2)}


def module(kind):
    """The layer of this kind."""
    return BatchNorm(0.8) if kind == "batch" else SampleNorm(kind)


def run(kind, image):
    """The layer's output in training mode, with fresh parameters."""
    options = {"train": True} if kind == "batch" else {}
    layer = module(kind)
    variables = layer.init(jax.random.key(0), image, **options)
    return layer.apply(variables, image, **options, mutable=["batch_stats"])[0]


def images(shape=(3, 4, 5, 8), dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.standard_normal(shape) * 2 + 1, dtype)


@pytest.mark.parametrize("kind", AXES)
def test_norm_standardises_over_its_axes(kind, x64):
    image = images(dtype=np.float64)
    got = run(kind, image)
    mean = image.mean(AXES[kind], keepdims=True)
    variance = image.var(AXES[kind], keepdims=True)
    np.testing.assert_allclose(
        got, (image - mean) / np.sqrt(variance + EPSILON), atol=1e-12
    )


def test_norm_group_equals_flax(x64):
    image = images(dtype=np.float64)
    theirs = nn.GroupNorm(4, epsilon=EPSILON, use_fast_variance=False)
    variables = theirs.init(jax.random.key(0), image)
    np.testing.assert_allclose(
        run("group", image), theirs.apply(variables, image), atol=1e-12
    )


@pytest.mark.parametrize("kind", ["instance", "group", "layer", "batch"])
def test_norm_derivatives_equal_two_pass_formula(kind, x64):
    image = images((2, 3, 3, 4), np.float64)
    axes = {**AXES, "group": (1, 2)}[kind]  # four channels make groups of one

    def plain(image):
        mean = image.mean(axes, keepdims=True)
        variance = jnp.mean((image - mean) ** 2, axes, keepdims=True)
        return (image - mean) / jnp.sqrt(variance + EPSILON)

    for order in (1, 2):
        ours, theirs = (_derivative(f, order) for f in (lambda i: run(kind, i), plain))
        want = theirs(image)
        np.testing.assert_allclose(ours(image), want, atol=1e-9 * abs(want).max())


def _derivative(layer, order):
    """The gradient of a curved scalar, applied once or twice."""
    f = lambda image: jnp.sum(jnp.sin(3 * layer(image)))
    for _ in range(order - 1):
        f = lambda image, inner=jax.grad(f): jnp.sum(jnp.cos(inner(image)))
    return jax.jit(jax.grad(f))


def test_norm_gradient_equals_finite_difference(x64):
    image = images((2, 3, 3, 4), np.float64)
    scalar = jax.jit(lambda i: jnp.sum(jnp.sin(run("instance", i))))
    for numeric, exact in finite_difference(scalar, image):
        assert exact == pytest.approx(numeric, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("kind", AXES)
def test_norm_keeps_digits_far_from_zero(kind):
    image = np.random.default_rng(0).standard_normal((4, 6, 6, 4)) + 1000.0
    image = image.astype(np.float32).astype(np.float64)
    mean = image.mean(AXES[kind], keepdims=True)
    want = (image - mean) / np.sqrt(image.var(AXES[kind], keepdims=True) + EPSILON)
    got = run(kind, jnp.asarray(image, jnp.float32))
    np.testing.assert_allclose(got, want, atol=2e-3)


@pytest.mark.parametrize("kind", ["instance", "batch"])
def test_norm_of_a_constant_map_is_zero_with_finite_gradient(kind):
    image = jnp.full((2, 4, 4, 3), 0.7)
    assert jnp.abs(run(kind, image)).max() < 1e-4
    gradient = jax.grad(lambda i: jnp.sum(run(kind, i) ** 2))(image)
    assert jnp.isfinite(gradient).all()


@pytest.mark.parametrize("kind", ["instance", "group", "layer", "batch"])
def test_norm_statistics_of_bfloat16_are_float32(kind):
    image = images((2, 16, 16, 8)).astype(jnp.bfloat16)
    got, want = run(kind, image), run(kind, image.astype(jnp.float32))
    assert got.dtype == jnp.bfloat16
    np.testing.assert_allclose(got.astype(jnp.float32), want, atol=0.02)


def test_batch_norm_running_statistics():
    image = images()
    layer = BatchNorm(0.8)
    variables = layer.init(jax.random.key(0), image)
    before = variables["batch_stats"]
    np.testing.assert_array_equal(before["mean"], 0)
    np.testing.assert_array_equal(before["var"], 1)
    _, after = layer.apply(variables, image, train=True, mutable=["batch_stats"])
    flat = image.reshape(-1, 8)
    stats = after["batch_stats"]
    np.testing.assert_allclose(stats["mean"], 0.2 * flat.mean(0), rtol=1e-5)
    unbiased = flat.var(0, ddof=1)
    np.testing.assert_allclose(stats["var"], 0.8 + 0.2 * unbiased, rtol=1e-5)
    used = layer.apply({**variables, **after}, image)
    want = (image - stats["mean"][None, None, None]) / jnp.sqrt(
        stats["var"][None, None, None] + EPSILON
    )
    np.testing.assert_allclose(used, want, atol=1e-5)


def test_batch_norm_statistics_carry_no_gradient():
    image = images((2, 3, 3, 4))
    layer = BatchNorm()
    variables = layer.init(jax.random.key(0), image)

    def total(image):
        _, after = layer.apply(variables, image, train=True, mutable=["batch_stats"])
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(after))

    np.testing.assert_array_equal(jax.grad(total)(image), 0)
