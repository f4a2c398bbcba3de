"""Losses against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxdd.training import losses
from tests.helpers import finite_difference


def _nt_xent_in_numpy(z1, z2, temperature):
    """The published sum, row by row."""
    z = np.concatenate([z1, z2])
    u = [row / np.sqrt(np.sum(row**2)) for row in z]
    n, rows = len(z1), []
    for i in range(2 * n):
        score = [np.exp(np.dot(u[i], u[j]) / temperature) for j in range(2 * n)]
        partner = score[i + n if i < n else i - n]
        rows.append(-np.log(partner / (sum(score) - score[i])))
    return np.mean(rows)


def _vicreg_in_numpy(z1, z2, invariance, variance, covariance):
    d, total = z1.shape[1], invariance * np.mean((z1 - z2) ** 2)
    for z in (z1, z2):
        cov = np.cov(z, rowvar=False)
        hinge = [max(0.0, 1 - np.sqrt(cov[j, j] + 1e-4)) for j in range(d)]
        off = sum(cov[i, j] ** 2 for i in range(d) for j in range(d) if i != j)
        total += variance * np.mean(hinge) + covariance * off / d
    return total


def _byol_in_numpy(prediction, target):
    cosines = [
        np.dot(p, t) / np.linalg.norm(p) / np.linalg.norm(t)
        for p, t in zip(prediction, target, strict=True)
    ]
    return np.mean([2 - 2 * c for c in cosines])


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


def test_nt_xent_equals_its_formula_and_that_of_optax(views, x64):
    z1, z2 = (jnp.asarray(3 * z) for z in views)
    value = losses.nt_xent(z1, z2, temperature=0.3)
    assert value.dtype == jnp.float64
    np.testing.assert_allclose(value, _nt_xent_in_numpy(z1, z2, 0.3), rtol=1e-12)
    pair = jnp.tile(jnp.arange(32), 2)
    theirs = optax.losses.ntxent(jnp.concatenate([z1, z2]), pair, 0.3)
    np.testing.assert_allclose(value, theirs, rtol=1e-12)
    scaled = losses.nt_xent(7 * z2, 0.1 * z1, temperature=0.3)
    np.testing.assert_allclose(scaled, value, rtol=1e-12)


def test_nt_xent_of_one_pair_is_zero_and_of_equal_rows_is_uniform(views, x64):
    z1, z2 = (jnp.asarray(z) for z in views)
    assert float(losses.nt_xent(z1[:1], z2[:1])) == 0
    same = jnp.broadcast_to(z1[:1], z1.shape)
    value = losses.nt_xent(same, 2 * same, temperature=0.07)
    assert float(value) == pytest.approx(np.log(2 * 32 - 1), rel=1e-12)


def test_vicreg_equals_its_formula(views, x64):
    z1, z2 = (0.9 * z for z in views)  # deviations on both sides of the hinge
    value = losses.vicreg(
        jnp.asarray(z1), jnp.asarray(z2), invariance=3, variance=5, covariance=7
    )
    expected = _vicreg_in_numpy(z1, z2, 3, 5, 7)
    np.testing.assert_allclose(float(value), expected, rtol=1e-12)
    assert (z1.std(0) < 1).any()
    assert (z2.std(0) > 1).any()


def test_vicreg_of_a_constant_is_its_hinge(x64):
    constant = jnp.full((16, 6), 0.4)
    assert float(losses.vicreg(constant, constant)) == pytest.approx(49.5, rel=1e-12)
    halved = losses.vicreg(constant, constant, variance=12.5)
    assert float(halved) == pytest.approx(24.75, rel=1e-12)


def test_byol_equals_its_formula_and_leaves_the_target_alone(views, x64):
    z1, z2 = (jnp.asarray(z) for z in views)
    value, gradient = jax.value_and_grad(losses.byol, argnums=(0, 1))(z1, z2)
    np.testing.assert_allclose(value, _byol_in_numpy(z1, z2), rtol=1e-12)
    assert float(jnp.abs(gradient[0]).max()) > 1e-3
    np.testing.assert_array_equal(gradient[1], 0)
    # Of equal views behind an identity the value is zero, and so is every slope.
    value, slope = jax.value_and_grad(losses.byol)(z1, 2 * z1)
    assert float(value) == pytest.approx(0, abs=1e-15)
    np.testing.assert_allclose(slope, 0, atol=1e-15)
    assert float(losses.byol(z1, -z1)) == pytest.approx(4)


@pytest.mark.parametrize(
    "loss",
    [
        lambda z1, z2: losses.nt_xent(z1, z2, temperature=0.3),
        lambda z1, z2: losses.vicreg(0.9 * z1, 0.9 * z2, covariance=9.0),
        lambda z1, z2: losses.byol(z1, np.linspace(-1, 1, 160).reshape(32, 5)),
    ],
    ids=["nt_xent", "vicreg", "byol"],
)
def test_gradients_between_views_equal_finite_differences(loss, views, x64):
    pair = tuple(jnp.asarray(z) for z in views)
    for slope, inner in finite_difference(lambda pair: loss(*pair), pair):
        assert slope == pytest.approx(inner, rel=1e-6, abs=1e-9)


@pytest.mark.slow
def test_rows_of_zeros_have_finite_derivatives():
    z = jnp.zeros((4, 3)).at[1:].set(1.0)
    for loss in (losses.nt_xent, losses.vicreg, losses.byol, losses.barlow_twins):
        value, gradient = jax.value_and_grad(loss)(z, z)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    "loss", [losses.barlow_twins, losses.nt_xent, losses.vicreg, losses.byol]
)
def test_losses_over_sharded_rows_are_those_of_the_whole_batch(loss):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    rows = NamedSharding(mesh, PartitionSpec("data"))
    z1, z2 = jax.random.normal(jax.random.key(0), (2, 64, 16))
    f = jax.jit(jax.value_and_grad(loss, argnums=(0, 1)))
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


def test_half_squared_error_sums_over_outputs():
    prediction, target = jnp.arange(6.0).reshape(2, 3), jnp.ones((2, 3))
    value = losses.half_squared_error(prediction, target)
    np.testing.assert_allclose(value, (1 + 0 + 1 + 4 + 9 + 16) / 4)
    alone = losses.half_squared_error(prediction, target, jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(alone, 1.0)


def test_centred_one_hot_sums_to_zero():
    rows = losses.centred_one_hot(jnp.array([2, 0]), 4)
    np.testing.assert_allclose(rows[0], [-0.25, -0.25, 0.75, -0.25])
    np.testing.assert_allclose(rows.sum(1), 0, atol=1e-7)


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
        losses.nt_xent(z, z),
        losses.vicreg(z, z),
        losses.byol(z, z),
    ):
        assert value.dtype == jnp.float32


def test_weighted_mean_of_nothing_is_zero():
    value = losses.weighted_mean(jnp.ones(3), jnp.zeros(3))
    assert float(value) == 0


def test_losses_against_logits(x64):
    rng = np.random.default_rng(3)
    logits, target = rng.standard_normal((2, 5, 4))
    weight = np.array([1.0, 0.0, 2.0, 1.0, 1.0])

    def softmax(z):
        e = np.exp(z - z.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    share, mine = softmax(target / 3.0), softmax(logits / 3.0)
    cross = -(share * np.log(mine)).sum(1)
    entropy = -(share * np.log(share)).sum(1)
    for function, rows in (
        (losses.soft_cross_entropy, cross),
        (losses.kl, cross - entropy),
    ):
        value = function(
            jnp.asarray(logits), jnp.asarray(target), jnp.asarray(weight), temperature=3
        )
        np.testing.assert_allclose(value, (rows * weight).sum() / 5.0, rtol=1e-12)
