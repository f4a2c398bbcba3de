"""FRePo's objective: against KRR-ST's and a formula, its margin, its mirror images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Batch, Synthetic
from jaxdd.kernels.ridge import Ridge
from jaxdd.objectives.labelled import krr_labels, label_margin
from jaxdd.objectives.regression import krr_mse
from tests.objectives.toy_network import in_float64, toy_network

ROWS, REAL, CLASSES, SHAPE = 4, 5, 4, (4, 4, 2)
NETWORK = toy_network((5,), SHAPE, CLASSES)
RIDGE = Ridge(1e-3, "mean_trace")


@pytest.fixture(scope="module")
def setting():
    """Variables, the learned pair, and a batch with classes."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        variables = in_float64(NETWORK.init(jax.random.key(0)))
        pair = jnp.asarray(rng.standard_normal((ROWS, *SHAPE)))
        pair = pair, jnp.asarray(rng.standard_normal((ROWS, CLASSES)))
        image = jnp.asarray(rng.standard_normal((REAL, *SHAPE)))
        label = jnp.asarray([0, 1, 2, 3, 1])
        return variables, pair, Batch(image, label, jnp.arange(REAL), jnp.ones(REAL))


def value_and_grad(objective, variables, pair, batch):
    def loss(pair):
        synthetic = Synthetic(*pair, jnp.ones(len(pair[0])))
        return objective(synthetic, batch, variables, {}, jax.random.key(0))[0]

    return jax.value_and_grad(loss)(pair)


def as_targets(batch: Batch) -> Batch:
    return batch._replace(target=jnp.eye(CLASSES)[batch.target] - 1 / CLASSES)


def test_without_margin_and_flip_it_is_krr_ssl_times_half_the_classes(x64, setting):
    variables, pair, batch = setting
    frepo = krr_labels(NETWORK, RIDGE, CLASSES, margin=0.0)
    krr_ssl = krr_mse(NETWORK, RIDGE, bias=False)
    value, gradient = value_and_grad(frepo, variables, pair, batch)
    same, expected = value_and_grad(krr_ssl, variables, pair, as_targets(batch))
    np.testing.assert_allclose(value, CLASSES / 2 * same, rtol=1e-10)
    for ours, theirs in zip(gradient, expected, strict=True):
        np.testing.assert_allclose(ours, CLASSES / 2 * theirs, rtol=1e-10, atol=1e-14)


def test_labelled_value_and_gradient_equal_the_formula(x64, setting):
    """All of it, in the dual form with the trace differentiated."""
    variables, pair, batch = setting

    def formula(pair):
        image, target = pair
        support = jnp.concatenate([image, jnp.flip(image, 2)])
        labels = jnp.concatenate([target, target])
        f_s = NETWORK.apply(variables, support)[0].features
        f_b = NETWORK.apply(variables, batch.image)[0].features
        gram = f_s @ f_s.T
        matrix = gram + 1e-3 * jnp.trace(gram) / len(gram) * jnp.eye(len(gram))
        error = f_b @ f_s.T @ jnp.linalg.solve(matrix, labels)
        error = error - as_targets(batch).target
        ordered = jnp.sort(target, 1)
        held = jnp.minimum(ordered[:, -1] - ordered[:, -2], 1 / CLASSES)
        return jnp.sum(error**2) / (2 * REAL) - jnp.mean(held)

    objective = krr_labels(NETWORK, RIDGE, CLASSES, mirror=True)
    value, gradient = value_and_grad(objective, variables, pair, batch)
    expected, theirs = jax.value_and_grad(formula)(pair)
    np.testing.assert_allclose(value, expected, rtol=1e-10)
    for one, other in zip(gradient, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-12)


def test_margin_counts_up_to_its_cap_and_then_has_no_gradient():
    target = jnp.array([[0.5, 0.4, -1.0, 0.0], [0.9, 0.1, 0.0, 0.0]])
    value, gradient = jax.value_and_grad(label_margin)(target, 0.25)
    np.testing.assert_allclose(value, (0.1 + 0.25) / 2, rtol=1e-6)
    np.testing.assert_allclose(gradient[0], [0.5, -0.5, 0, 0], rtol=1e-6)
    np.testing.assert_array_equal(gradient[1], np.zeros(4))


def test_with_mirrors_flipping_all_images_changes_nothing(x64, setting):
    variables, (image, target), batch = setting
    objective = krr_labels(NETWORK, RIDGE, CLASSES, mirror=True)
    value, gradient = value_and_grad(objective, variables, (image, target), batch)
    flipped = image[:, :, ::-1]
    same, other = value_and_grad(objective, variables, (flipped, target), batch)
    np.testing.assert_allclose(value, same, rtol=1e-9)
    np.testing.assert_allclose(gradient[0], other[0][:, :, ::-1], rtol=1e-7, atol=1e-10)
    alone = krr_labels(NETWORK, RIDGE, CLASSES)
    without, _ = value_and_grad(alone, variables, (image, target), batch)
    assert abs(float(without - value)) > 1e-6
