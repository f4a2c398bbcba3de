"""Losses against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxdd import losses
from tests.helpers import finite_difference


def _barlow_in_numpy(z1, z2, redundancy, scale):
    """The published formula, term by term."""
    a = (z1 - z1.mean(0)) / np.sqrt(z1.var(0) + 1e-5)
    b = (z2 - z2.mean(0)) / np.sqrt(z2.var(0) + 1e-5)
    r = a.T @ b / len(a)
    on = sum((r[i, i] - 1) ** 2 for i in range(len(r)))
    off = sum(r[i, j] ** 2 for i in range(len(r)) for j in range(len(r)) if i != j)
    return scale * (on + redundancy * off)


@pytest.fixture
def views():
    rng = np.random.default_rng(3)
    z1 = rng.standard_normal((32, 5))
    return z1, z1 + 0.5 * rng.standard_normal((32, 5))


def test_barlow_equals_its_formula(views, x64):
    z1, z2 = views
    value = losses.barlow_twins(jnp.asarray(z1), jnp.asarray(z2), scale=0.1)
    assert value.dtype == jnp.float64
    np.testing.assert_allclose(
        float(value), _barlow_in_numpy(z1, z2, 0.0051, 0.1), rtol=1e-12
    )


def test_barlow_is_zero_for_equal_white_views(x64):
    rng = np.random.default_rng(0)
    q, _ = np.linalg.qr(np.c_[np.ones(64), rng.standard_normal((64, 6))])
    white = q[:, 1:] * 8 * 1e3  # large, so that the variance floor does not show
    value = losses.barlow_twins(jnp.asarray(white), jnp.asarray(white))
    assert float(value) < 1e-12


def test_barlow_ignores_affine_maps_of_each_dimension(views, x64):
    z1, z2 = (jnp.asarray(100 * z) for z in views)
    gain = jnp.asarray([0.5, 2.0, 3.0, 7.0, 1.5])[None]
    shift = jnp.asarray([1.0, -4.0, 0.0, 9.0, 2.0])[None]
    there = losses.barlow_twins(z1 * gain + shift, z2 / gain - shift)
    np.testing.assert_allclose(there, losses.barlow_twins(z1, z2), rtol=1e-6)
    flipped = losses.barlow_twins(-z1, z2)
    assert float(flipped) > float(losses.barlow_twins(z1, z2)) + 1


def test_barlow_gradient_equals_finite_differences(views, x64):
    def loss(pair):
        return losses.barlow_twins(*pair, redundancy=0.3, scale=0.7)

    pair = tuple(jnp.asarray(z) for z in views)
    for slope, inner in finite_difference(loss, pair):
        assert slope == pytest.approx(inner, rel=1e-6, abs=1e-9)


def test_barlow_over_sharded_rows_is_that_of_the_whole_batch():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    z1, z2 = jax.random.normal(jax.random.key(0), (2, 64, 16))
    f = jax.jit(jax.value_and_grad(losses.barlow_twins, argnums=(0, 1)))
    whole = f(z1, z2)
    sharded = f(jax.device_put(z1, rows), jax.device_put(z2, rows))
    assert len(sharded[1][0].sharding.device_set) == 8
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        sharded,
        whole,
    )


def test_mean_squared_error_averages_over_both_axes():
    prediction = jnp.asarray([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    target = jnp.asarray([[0.0, 2.0, 5.0], [3.0, 0.0, 0.0]])
    assert float(losses.mean_squared_error(prediction, target)) == pytest.approx(14 / 6)
    only_first = losses.mean_squared_error(prediction, target, jnp.asarray([2.0, 0.0]))
    assert float(only_first) == pytest.approx(5 / 3)


def test_cross_entropy_of_classes_and_of_probabilities():
    logits = jnp.asarray([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0]])
    label = jnp.asarray([0, 2])
    first = -np.log(np.exp(2) / (np.exp(2) + 1 + np.exp(-1)))
    expected = (first + np.log(3)) / 2
    assert float(losses.cross_entropy(logits, label)) == pytest.approx(expected)
    soft = jax.nn.one_hot(label, 3)
    assert float(losses.cross_entropy(logits, soft)) == pytest.approx(expected)
    weighted = losses.cross_entropy(logits, label, jnp.asarray([0.0, 3.0]))
    assert float(weighted) == pytest.approx(np.log(3))


def test_losses_of_half_precision_are_computed_in_float32():
    z = jnp.ones((4, 3), jnp.bfloat16) / 3
    for value in (
        losses.mean_squared_error(z, z),
        losses.cross_entropy(z, jnp.zeros(4, jnp.int32)),
        losses.barlow_twins(z, z),
    ):
        assert value.dtype == jnp.float32


def test_weighted_mean_of_nothing_is_zero():
    value = losses.weighted_mean(jnp.ones(3), jnp.zeros(3))
    assert float(value) == 0
