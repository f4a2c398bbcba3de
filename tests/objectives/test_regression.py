"""The regression objective of KRR-ST: value, gradients, identities, memory."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import networks
from jaxdd.base import Batch, Output, Synthetic, TeacherAsset, Variables
from jaxdd.kernels.ridge import FREPO, KRR_ST, RFAD, Ridge
from jaxdd.objectives.regression import krr_mse
from jaxdd.records import (
    ConvNet,
)
from tests.objectives.numpy_krr_ssl import Block, outer_loss
from tests.objectives.toy_network import in_float64, toy_network

ROWS, REAL, OUTPUTS, SHAPE = 6, 5, 4, (8, 8, 2)
NETWORK = toy_network((3, 4), SHAPE, OUTPUTS)


@pytest.fixture(scope="module")
def setting():
    """Variables, synthetic images and targets, a real batch."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.standard_normal(shape)
    variables = jax.jit(NETWORK.init)(jax.random.key(0))
    weight = np.ones(REAL)
    batch = Batch(draw(REAL, *SHAPE), draw(REAL, OUTPUTS), np.arange(REAL), weight)
    return variables, draw(ROWS, *SHAPE), draw(ROWS, OUTPUTS), batch


def loss_of(objective, batch, variables, assets=None, key=None):
    """The loss as a function of (images, targets), jitted."""

    @jax.jit
    def loss(pair):
        synthetic = Synthetic(*pair, jnp.ones(len(pair[0])))
        return objective(synthetic, batch, variables, assets or {}, key)[0]

    return loss


def features_of(network, variables, image, bias):
    flat = network.apply(variables, image)[0].features
    return jnp.concatenate([flat, jnp.ones((len(flat), 1))], 1) if bias else flat


def test_equals_the_numpy_version(x64, setting):
    variables, x_s, y_s, batch = in_float64(setting)
    blocks = [
        Block(p["w"], p["b"], p["scale"], p["shift"], s["mean"], s["var"])
        for p, s in zip(variables.params[:-1], variables.stats, strict=True)
    ]
    blocks = [Block(*map(np.asarray, block)) for block in blocks]
    expected = outer_loss(blocks, *map(np.asarray, (x_s, y_s, *batch[:2])))
    objective = krr_mse(NETWORK, KRR_ST, chunk_synthetic=2, chunk_real=2)
    loss = loss_of(objective, batch, variables)
    value, gradient = jax.jit(jax.value_and_grad(loss))((x_s, y_s))
    np.testing.assert_allclose(value, expected[0], rtol=1e-10)
    for ours, theirs in zip(gradient, expected[1:], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-8)


def test_zero_at_its_own_prediction(x64, setting):
    variables, x_s, y_s, batch = in_float64(setting)
    f_s = features_of(NETWORK, variables, x_s, True)
    f_b = features_of(NETWORK, variables, batch.image, True)
    gram = f_s @ f_s.T
    matrix = gram + 1e-6 * jnp.trace(gram) * jnp.eye(ROWS)
    own = batch._replace(target=f_b @ f_s.T @ jnp.linalg.solve(matrix, y_s))
    loss = loss_of(krr_mse(NETWORK, KRR_ST), own, variables)
    value, gradient = jax.value_and_grad(loss)((x_s, y_s))
    assert value < 1e-20
    assert max(float(jnp.abs(g).max()) for g in gradient) < 1e-9


def test_interpolates_as_the_ridge_vanishes(x64, setting):
    variables, x_s, y_s, _ = in_float64(setting)
    batch = Batch(x_s, y_s, jnp.arange(ROWS), jnp.ones(ROWS))
    values = [
        loss_of(krr_mse(NETWORK, Ridge(r, "mean_trace")), batch, variables)((x_s, y_s))
        for r in (1e-2, 1e-5, 1e-10)
    ]
    assert values[0] > values[1] > values[2]
    assert values[2] < 1e-12


def test_gradient_vanishes_at_the_label_solution(x64, setting):
    # Label Solve: Y_s = M K_ts^+ Y_t minimises the loss over the targets.
    variables, x_s, _, batch = in_float64(setting)
    f_s = features_of(NETWORK, variables, x_s, True)
    f_b = features_of(NETWORK, variables, batch.image, True)
    gram = f_s @ f_s.T
    matrix = gram + 5e-3 * jnp.trace(gram) / ROWS * jnp.eye(ROWS)
    best = matrix @ jnp.linalg.pinv(f_b @ f_s.T) @ batch.target
    loss = loss_of(krr_mse(NETWORK, RFAD), batch, variables)
    at_best = jax.grad(loss)((x_s, best))[1]
    elsewhere = jax.grad(loss)((x_s, best + 0.1))[1]
    assert jnp.abs(at_best).max() < 1e-9 * jnp.abs(elsewhere).max()


def flat_network(image_shape):
    """The network without hidden layers: its features are the pixels."""

    def apply(variables, image, *, train=False, key=None):
        del train, key
        flat = image.reshape(image.shape[0], -1)
        return Output(flat, flat), variables

    dim = int(np.prod(image_shape))
    return NETWORK._replace(apply=apply, feature_dim=dim, output_dim=dim)


@pytest.mark.parametrize("ridge", [FREPO, RFAD])
def test_reduces_to_frepo_and_rfad(x64, setting, ridge):
    # Their losses: centred one-hot targets, no bias, half the sum over classes.
    variables, x_s, _, batch = in_float64(setting)
    one_hot = jnp.eye(OUTPUTS, dtype=jnp.float64) - 1 / OUTPUTS
    y_s = one_hot[jnp.arange(ROWS) % OUTPUTS]
    batch = batch._replace(target=one_hot[jnp.arange(REAL) % OUTPUTS])
    f_b = features_of(NETWORK, variables, batch.image, False)

    @jax.jit
    def published(pair):
        f_s = features_of(NETWORK, variables, pair[0], False)
        gram = f_s @ f_s.T
        matrix = gram + ridge.value * jnp.trace(gram) / ROWS * jnp.eye(ROWS)
        alpha = jax.scipy.linalg.solve(matrix, pair[1], assume_a="pos")
        return jnp.mean(0.5 * jnp.sum((f_b @ f_s.T @ alpha - batch.target) ** 2, 1))

    ours = loss_of(krr_mse(NETWORK, ridge, bias=False), batch, variables)
    expected = jax.value_and_grad(published)((x_s, y_s))
    actual = jax.value_and_grad(ours)((x_s, y_s))
    scaled = jax.tree.map(lambda leaf: leaf * OUTPUTS / 2, actual)
    np.testing.assert_allclose(scaled[0], expected[0], rtol=1e-8)
    for a, b in zip(scaled[1], expected[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def test_as_many_points_as_outputs_suffice_for_a_linear_network(x64):
    # Chen et al., NeurIPS 2024: with W = U S V^T, X = U^T and Y = (1 + lam) S V^T.
    rng = np.random.default_rng(0)
    linear = rng.standard_normal((8, 3))
    u, s, v = np.linalg.svd(linear, full_matrices=False)
    image = jnp.asarray(rng.standard_normal((5, 2, 2, 2)))
    batch = Batch(image, image.reshape(5, 8) @ linear, jnp.arange(5), jnp.ones(5))
    objective = krr_mse(flat_network((2, 2, 2)), Ridge(0.1, "none"), bias=False)
    pair = (jnp.asarray(u.T.reshape(3, 2, 2, 2)), jnp.asarray(1.1 * s[:, None] * v))
    assert loss_of(objective, batch, Variables({}, {}))(pair) < 1e-25


def test_gradient_reaches_nothing_but_the_synthetic_set(setting):
    variables, x_s, y_s, batch = setting
    objective = krr_mse(NETWORK, KRR_ST)

    @jax.jit
    def loss(x_s, y_s, variables, image, target):
        synthetic = Synthetic(x_s, y_s, jnp.ones(ROWS))
        real = batch._replace(image=image, target=target)
        return objective(synthetic, real, variables, {}, jax.random.key(0))[0]

    arrays = jax.tree.map(partial(jnp.asarray, dtype=jnp.float32), (x_s, y_s))
    image, target = (jnp.asarray(v, jnp.float32) for v in batch[:2])
    gradient = jax.grad(loss, (0, 1, 2, 3, 4))(*arrays, variables, image, target)
    assert all(jnp.abs(g).max() > 0 for g in gradient[:2])
    assert all(jnp.abs(g).max() == 0 for g in jax.tree.leaves(gradient[2:]))


def test_padding_rows_count_for_nothing(x64, setting):
    variables, x_s, y_s, batch = in_float64(setting)
    weight = jnp.asarray([1.0, 1.0, 0.0, 1.0, 0.0])
    kept = jnp.asarray([0, 1, 3])
    fewer = jax.tree.map(lambda leaf: leaf[kept], batch)
    objective = krr_mse(NETWORK, KRR_ST)
    padded = loss_of(objective, batch._replace(weight=weight), variables)((x_s, y_s))
    expected = loss_of(objective, fewer, variables)((x_s, y_s))
    np.testing.assert_allclose(padded, expected, rtol=1e-12)


def test_teacher_gives_the_targets_the_batch_lacks(setting):
    variables, x_s, y_s, batch = setting
    pair = tuple(jnp.asarray(v, jnp.float32) for v in (x_s, y_s))
    asset = TeacherAsset(variables)
    teacher = lambda asset, image: NETWORK.apply(asset.variables, image)[0].logits
    table = teacher(asset, jnp.asarray(batch.image, jnp.float32))
    objective = krr_mse(NETWORK, KRR_ST, teacher=teacher, chunk_real=2)
    applied = loss_of(
        objective, batch._replace(target=None), variables, {"teacher": asset}
    )
    cached = loss_of(objective, batch._replace(target=table), variables)
    np.testing.assert_allclose(applied(pair), cached(pair), rtol=1e-5)
    without = loss_of(krr_mse(NETWORK, KRR_ST), batch._replace(target=None), variables)
    with pytest.raises(ValueError, match="no teacher"):
        without(pair)


def test_metrics_of_a_deficient_support(setting):
    variables, x_s, y_s, batch = setting
    twice = Synthetic(*(jnp.asarray(np.r_[v, v], jnp.float32) for v in (x_s, y_s)), ())
    objective = krr_mse(NETWORK, Ridge(1e-9, "trace", stop_gradient=True))
    loss, metrics = jax.jit(lambda s: objective(s, batch, variables, {}, None))(twice)
    assert metrics["retries"] > 0
    assert metrics["condition"] > 1e3
    assert metrics["ridge"] > 0
    assert jnp.isfinite(loss)
    assert metrics["loss"] == loss


@cache
def temporary_arrays(rows, chunk_synthetic, chunk_real, conv, real=256):
    """Scratch memory of the outer loss and gradient, from the compiled program.

    For the paper's CIFAR-100 network, in units of one float32 array (1000, d+1).
    """
    spec = ConvNet(width=(128, 256, 512), norm="batch", conv=conv)
    network = networks.build(spec, (32, 32, 3), 512)
    array = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)
    objective = krr_mse(
        network, KRR_ST, chunk_synthetic=chunk_synthetic, chunk_real=chunk_real
    )

    def step(pair, variables, image, target):
        batch = Batch(image, target, jnp.arange(real), jnp.ones(real))
        loss = lambda pair: objective(
            Synthetic(*pair, jnp.ones(rows)), batch, variables, {}, None
        )
        return jax.value_and_grad(loss, has_aux=True)(pair)

    arguments = (
        (array(rows, 32, 32, 3), array(rows, 512)),
        jax.eval_shape(network.init, jax.random.key(0)),
        array(real, 32, 32, 3),
        array(real, 512),
    )
    analysis = jax.jit(step).lower(*arguments).compile().memory_analysis()
    return analysis.temp_size_in_bytes / (1000 * (network.feature_dim + 1) * 4)


@pytest.mark.slow_cases("cpu")
@pytest.mark.parametrize("conv", ["stock", "cpu"])
def test_memory_grows_by_features_not_by_activations(conv):
    small, large = (temporary_arrays(m, 10, 32, conv) for m in (100, 1000))
    assert large - small <= 4


@pytest.mark.slow
def test_memory_at_a_larger_chunk_is_that_of_the_chunk():
    small, large = (temporary_arrays(m, 100, 32, "stock") for m in (100, 1000))
    assert large <= 1.1 * small
    # The CPU convolution needs less than half for one chunk, so that the features
    # themselves (one array and its cotangent) are a larger share of it.
    small_cpu, large_cpu = (temporary_arrays(m, 100, 32, "cpu") for m in (100, 1000))
    assert large_cpu < large
    assert large_cpu - small_cpu <= 2
