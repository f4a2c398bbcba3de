"""KIP's and RFAD's objective: exact cases, blocks, the learned scale, FRePo's limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import kernels, networks
from jaxdd.base import Batch, Synthetic, Variables
from jaxdd.errors import InputError
from jaxdd.kernels.random_features import draw
from jaxdd.kernels.ridge import FREPO, KIP, RFAD, Ridge
from jaxdd.objectives.kernel_regression import (
    flat_rows,
    kernel_blocks,
    kernel_regression,
    random_feature_blocks,
)
from jaxdd.objectives.labelled import krr_labels
from jaxdd.records import (
    Conv,
    ConvNet,
    Fc,
    WideKernel,
)
from tests.helpers import finite_difference

CLASSES, SHAPE = 3, (4, 4, 1)
TINY = ConvNet(width=(6,), norm="none", initialiser="he")


@pytest.fixture
def batch(x64):
    """Twelve real images, separable by a linear map but for noise."""
    rng = np.random.default_rng(0)
    label = np.arange(12) % CLASSES
    image = rng.standard_normal((12, *SHAPE)) + np.eye(16)[label].reshape(-1, *SHAPE)
    return Batch(*map(jnp.asarray, (image, label, label)), jnp.ones(12))


@pytest.fixture
def synthetic(x64):
    rng = np.random.default_rng(1)
    image = jnp.asarray(rng.standard_normal((6, *SHAPE)))
    target = jnp.asarray(rng.standard_normal((6, CLASSES)))
    return Synthetic(image, target, jnp.ones(6), {"log_scale": jnp.asarray(0.3)})


def value(objective, synthetic, batch, variables=()):
    compiled = jax.jit(objective)
    return compiled(synthetic, batch, variables, {}, jax.random.key(0))[0]


def test_linear_kernel_with_as_many_images_as_classes_is_exact(batch):
    """Chen et al., NeurIPS 2024: X_s = U^T, Y_s = (1 + lam) S V^T of W = U S V^T."""
    real = batch.image.reshape(12, -1)
    target = jnp.eye(CLASSES)[batch.target] - 1 / CLASSES
    gram = real.T @ real + 0.7 * jnp.eye(16)
    whole = jnp.linalg.solve(gram, real.T @ target)
    left, sizes, right = jnp.linalg.svd(whole, full_matrices=False)
    lam = 1e-2
    # Orthonormal rows: the mean eigenvalue is 1.
    made = Synthetic(
        left.T.reshape(CLASSES, *SHAPE),
        (1 + lam) * sizes[:, None] * right,
        jnp.ones(CLASSES),
    )
    objective = kernel_regression(kernel_blocks(kernels.linear), Ridge(lam), CLASSES)
    reached = value(objective, made, batch)
    expected = jnp.mean((real @ whole - target) ** 2) / 2
    np.testing.assert_allclose(reached, expected, rtol=1e-12)
    # Another start cannot do better than the best linear map, ridge or none.
    best = jnp.linalg.lstsq(real, target)[0]
    least = jnp.mean((real @ best - target) ** 2) / 2
    assert float(least) < float(reached)


def test_blocks_of_rows_change_nothing(batch, synthetic):
    kernel = kernels.named(WideKernel("ntk", Fc(1)), SHAPE)
    results = []
    for rows in (None, 5):
        objective = kernel_regression(kernel_blocks(kernel, rows), KIP, CLASSES)
        results.append(
            jax.value_and_grad(
                lambda image, o=objective: value(
                    o, synthetic._replace(image=image), batch
                )
            )(synthetic.image)
        )
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_class_balanced_and_plain_batches_agree(batch, synthetic):
    """[k,n,...] with padding of weight 0 counts as its rows without padding."""
    order = np.argsort(np.asarray(batch.target), kind="stable")
    image = batch.image[order].reshape(CLASSES, 4, *SHAPE)
    padding = jnp.full((CLASSES, 1, *SHAPE), 7.0)
    label = batch.target[order].reshape(CLASSES, 4)
    balanced = Batch(
        jnp.concatenate([image, padding], 1),
        jnp.concatenate([label, label[:, :1]], 1),
        jnp.zeros((CLASSES, 5), jnp.int32),
        jnp.ones((CLASSES, 5)).at[:, 4].set(0),
    )
    objective = kernel_regression(kernel_blocks(kernels.linear), KIP, CLASSES)
    np.testing.assert_allclose(
        value(objective, synthetic, balanced), value(objective, synthetic, batch)
    )
    assert flat_rows(balanced)[0].shape == (15, *SHAPE)
    hard = synthetic._replace(target=jnp.arange(6) % CLASSES)
    soft = synthetic._replace(target=jnp.eye(CLASSES)[hard.target] - 1 / CLASSES)
    np.testing.assert_allclose(
        value(objective, hard, batch), value(objective, soft, batch)
    )


def test_learned_scale(batch, synthetic):
    """Its derivative; and at small predictions the loss is linear in them."""
    objective = kernel_regression(
        kernel_blocks(kernels.linear), RFAD, CLASSES, loss="platt"
    )

    def loss(scale, target):
        made = synthetic._replace(hyper={"log_scale": scale}, target=target)
        return value(objective, made, batch)

    for slope, inner in finite_difference(
        lambda s: loss(s, synthetic.target), jnp.asarray(0.3), probes=2
    ):
        np.testing.assert_allclose(inner, slope, rtol=1e-6)
    # log k - mean (e_y - 1/k).P, P = exp(s) K A, for predictions of size epsilon.
    tiny, zero = 1e-6 * synthetic.target, jnp.asarray(0.0)
    k_ss, k_ts = kernel_blocks(kernels.linear)(synthetic.image, batch.image, ())
    lam = 5e-3 * jnp.trace(k_ss) / 6
    output = k_ts @ jnp.linalg.solve(k_ss + lam * jnp.eye(6), tiny)
    centred = jnp.eye(CLASSES)[batch.target] - 1 / CLASSES
    linear = -jnp.mean(jnp.sum(centred * output, 1))
    np.testing.assert_allclose(
        loss(zero, tiny) - np.log(CLASSES), linear, rtol=1e-4, atol=1e-13
    )
    with pytest.raises(InputError, match="Choose one of mse, platt"):
        kernel_regression(kernel_blocks(kernels.linear), RFAD, CLASSES, loss="hinge")


def test_one_network_and_squared_error_is_frepo_without_training(batch, synthetic):
    """With one fresh network, no shift and no margin: FRePo's loss is k times ours."""
    network = networks.build(TINY, SHAPE, 0)
    key = jax.random.key(3)
    variables = jax.jit(lambda k: draw(network, k, 1))(key)
    variables = jax.tree.map(lambda leaf: leaf.astype(float), variables)
    ours = kernel_regression(random_feature_blocks(network, shift=0.0), FREPO, CLASSES)
    theirs = krr_labels(network, FREPO, CLASSES, margin=0.0)
    one = Variables(*jax.tree.map(lambda leaf: leaf[0], tuple(variables)))

    def slopes(objective, given):
        return jax.jit(
            jax.value_and_grad(
                lambda image, target: value(
                    objective,
                    synthetic._replace(image=image, target=target),
                    batch,
                    given,
                ),
                argnums=(0, 1),
            )
        )(synthetic.image, synthetic.target)

    for a, b in zip(
        jax.tree.leaves(slopes(ours, variables)),
        jax.tree.leaves(slopes(theirs, one)),
        strict=True,
    ):
        scale = float(jnp.abs(b).max())
        np.testing.assert_allclose(CLASSES * a / scale, b / scale, atol=1e-10)


@pytest.mark.slow
def test_random_features_approach_the_kernel_of_the_infinite_network(key):
    """With RFAD's initialisation, at a rate of one over the root of the members."""
    image = jax.random.normal(key, (5, *SHAPE))
    spec = WideKernel("nngp", Conv(1, "average"))
    exact = kernels.named(spec, SHAPE)(image, image)
    network = networks.build(
        ConvNet(width=(8,), norm="none", initialiser="he"), SHAPE, 0
    )

    @jax.jit
    def squared_error(key):
        """Of eight networks together, and each of them alone on average."""
        variables = draw(network, key, 8)
        each = jax.lax.map(
            lambda own: random_feature_blocks(network)(
                image, image, jax.tree.map(lambda leaf: leaf[None], own)
            )[0],
            variables,
        )
        errors = jnp.concatenate([jnp.mean(each, 0)[None], each]) - exact[None]
        size = jnp.mean(errors**2, (1, 2))
        return jnp.stack([size[0], jnp.mean(size[1:])])

    together, alone = jnp.mean(jax.lax.map(squared_error, jax.random.split(key, 60)), 0)
    assert 6 < float(alone / together) < 10.5
    assert float(together) < 0.02 * float(jnp.mean(exact**2))
