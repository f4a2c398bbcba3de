"""The mean-feature objective: closed forms, chunks, gradients, memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import augment, networks
from jaxdd.base import Batch, Network, Output, Synthetic, Variables
from jaxdd.objectives.moments import class_means, mean_features
from jaxdd.records import (
    AugmentSpec,
    ConvNet,
)
from tests.helpers import finite_difference

CLASSES, IPC, COUNT = 2, 3, 5
SHAPE = (8, 8, 1)


def _identity() -> Network:
    """Embeds an image as its own pixels."""

    def apply(variables, image, *, train=False, key=None):
        flat = image.reshape(len(image), -1)
        return Output(flat, flat), variables

    return Network(lambda key: Variables({}, {}), apply, 64, 0, "identity")


def _sets(key: jax.Array, count: int = COUNT) -> tuple[Synthetic, Batch]:
    key_s, key_t = jax.random.split(key)
    image = jax.random.normal(key_s, (CLASSES * IPC, *SHAPE))
    real = 0.5 + jax.random.normal(key_t, (CLASSES, count, *SHAPE))
    label = jnp.repeat(jnp.arange(CLASSES), IPC)
    synthetic = Synthetic(image, label, jnp.ones(len(image)))
    batch = Batch(
        real, None, jnp.zeros((CLASSES, count), int), jnp.ones(real.shape[:2])
    )
    return synthetic, batch


def _loss(objective, synthetic, batch, variables, key):
    def loss(image):
        changed = synthetic._replace(image=image)
        return objective(changed, batch, variables, {}, key)[0]

    return loss


@pytest.fixture(scope="module")
def conv() -> dict[str, tuple[Network, Variables]]:
    """A tiny network of each kind, in double precision."""
    out = {}
    with jax.enable_x64(True):
        for norm in ("instance", "batch"):
            spec = ConvNet(width=(4, 4), norm=norm)
            network = networks.build(spec, SHAPE, 0)
            variables = jax.jit(network.init)(jax.random.key(3))
            wide = lambda leaf: leaf.astype(jnp.float64)
            out[norm] = network, jax.tree.map(wide, variables)
    return out


def test_identity_gradient_is_the_difference_of_means(key, x64):
    synthetic, batch = _sets(key)
    loss = _loss(mean_features(_identity()), synthetic, batch, Variables({}, {}), key)
    grad = jax.grad(loss)(synthetic.image).reshape(CLASSES, IPC, *SHAPE)
    mean = synthetic.image.reshape(CLASSES, IPC, *SHAPE).mean(1)
    expected = 2 / IPC * (mean - batch.image.mean(1))
    for i in range(IPC):
        np.testing.assert_allclose(grad[:, i], expected, rtol=1e-12)


def test_loss_is_the_biased_linear_discrepancy(key, x64):
    synthetic, batch = _sets(key)
    loss = _loss(mean_features(_identity()), synthetic, batch, Variables({}, {}), key)
    total = 0.0
    for c in range(CLASSES):
        real = np.asarray(batch.image[c]).reshape(COUNT, -1)
        fake = np.asarray(synthetic.image[c * IPC : (c + 1) * IPC]).reshape(IPC, -1)
        total += (real @ real.T).mean() + (fake @ fake.T).mean()
        total -= 2 * (real @ fake.T).mean()
    np.testing.assert_allclose(loss(synthetic.image), total, rtol=1e-12)


@pytest.mark.slow
def test_equal_sets_have_zero_loss_and_gradient(key, conv, x64):
    network, variables = conv["instance"]
    _, batch = _sets(key)
    image = batch.image.reshape(-1, *SHAPE)
    same = Synthetic(image, (), jnp.ones(len(image)))
    siamese = augment.build(AugmentSpec(crop=2, flip=True), SHAPE)
    objective = mean_features(network, augment=siamese)
    value, grad = jax.value_and_grad(_loss(objective, same, batch, variables, key))(
        image
    )
    assert float(value) == 0.0
    assert float(jnp.abs(grad).max()) == 0.0


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_gradient_equals_finite_differences(norm, key, conv, x64):
    network, variables = conv[norm]
    synthetic, batch = _sets(key)
    siamese = augment.build(AugmentSpec(crop=1, flip=True), SHAPE)
    joint = norm == "batch"
    objective = mean_features(
        network, augment=siamese, chunk_synthetic=4, chunk_real=3, joint=joint
    )
    loss = jax.jit(_loss(objective, synthetic, batch, variables, key))
    for slope, inner in finite_difference(loss, synthetic.image):
        np.testing.assert_allclose(inner, slope, rtol=1e-6)


def test_order_within_a_class_does_not_matter(key, conv, x64):
    network, variables = conv["instance"]
    synthetic, batch = _sets(key)
    loss = jax.jit(_loss(mean_features(network), synthetic, batch, variables, key))
    order = jnp.array([2, 0, 1, 4, 5, 3])
    np.testing.assert_allclose(
        loss(synthetic.image), loss(synthetic.image[order]), rtol=1e-12
    )


@pytest.mark.parametrize(("norm", "coupled"), [("instance", False), ("batch", True)])
def test_only_batch_norm_couples_classes(norm, coupled, key, conv, x64):
    network, variables = conv[norm]
    synthetic, batch = _sets(key)
    objective = mean_features(network, joint=norm == "batch")
    grad = jax.jit(jax.grad(_loss(objective, synthetic, batch, variables, key)))
    moved = synthetic.image.at[IPC:].add(jax.random.normal(key, (IPC, *SHAPE)))
    change = jnp.abs(grad(synthetic.image) - grad(moved))[:IPC].max()
    assert (float(change) > 1e-6) == coupled


@pytest.mark.parametrize("chunk", [1, 4, 6, 100])
def test_chunks_change_nothing(chunk, key, conv, x64):
    network, variables = conv["instance"]
    synthetic, batch = _sets(key)
    whole = mean_features(network)
    parts = mean_features(network, chunk_real=chunk, chunk_synthetic=chunk)
    results = [
        jax.jit(jax.value_and_grad(_loss(o, synthetic, batch, variables, key)))(
            synthetic.image
        )
        for o in (whole, parts)
    ]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-14), *results
    )


@pytest.mark.parametrize("norm", ["instance", "batch"])
def test_padding_of_small_classes_does_not_count(norm, key, conv, x64):
    """Padding equals leaving it out; batch norm sees the class's own rows instead."""
    network, variables = conv[norm]
    synthetic, batch = _sets(key, count=4)
    objective = jax.jit(
        mean_features(network, joint=norm == "batch"), static_argnums=()
    )
    # Both classes have two images; the rest is padding with arbitrary pixels.
    weight = jnp.array([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 0.0, 1.0]])
    kept = jnp.stack([batch.image[0, :2], batch.image[1, 1::2]])
    padded = batch._replace(weight=weight)
    exact = batch._replace(image=kept, weight=jnp.ones((2, 2)))
    value, _ = objective(synthetic, padded, variables, {}, key)
    expected, _ = objective(synthetic, exact, variables, {}, key)
    np.testing.assert_allclose(value, expected, rtol=1e-10)


def test_augmentation_is_shared_by_a_class_and_differs_between_classes(key):
    seen = []

    def apply(params, image):
        seen.append(params["shift"].shape)
        return image + params["shift"][:, None, None, None]

    op = augment.Augment(
        lambda k, n: {"shift": jax.random.normal(k, (n,))},
        apply,
    )
    synthetic, batch = _sets(key)
    plain = _loss(mean_features(_identity()), synthetic, batch, Variables({}, {}), key)
    moved = _loss(
        mean_features(_identity(), augment=op), synthetic, batch, Variables({}, {}), key
    )
    assert seen == []
    # A shift common to both sides cancels, so only sharing leaves the loss unchanged.
    np.testing.assert_allclose(
        moved(synthetic.image), plain(synthetic.image), rtol=1e-4
    )
    assert seen == [(1,), (1,)]


def test_weighted_class_means_by_hand(key):
    image = jax.random.normal(key, (2, 3, 1, 1, 2))
    weight = jnp.array([[1.0, 3.0, 0.0], [1.0, 1.0, 2.0]])
    flat = lambda x: x.reshape(len(x), -1)
    expected = [
        np.average(np.asarray(image[c]).reshape(3, 2), axis=0, weights=weight[c])
        for c in range(2)
    ]
    for chunk in (None, 2, 4):
        np.testing.assert_allclose(
            class_means(flat, image, weight, chunk), np.stack(expected), rtol=1e-5
        )


def test_means_of_low_precision_features_are_accumulated_in_float32(key):
    image = jax.random.normal(key, (1, 4, 2, 2, 1)).astype(jnp.bfloat16)
    flat = lambda x: x.reshape(len(x), -1)
    assert class_means(flat, image, jnp.ones((1, 4)), 2).dtype == jnp.float32


def _temporary_bytes(ipc: int, count: int, chunk: int | None) -> int:
    """Memory the gradient needs beyond its inputs and outputs."""
    network = networks.build(ConvNet(width=(8, 8)), SHAPE, 0)
    objective = mean_features(network, chunk_real=chunk, chunk_synthetic=chunk)

    def gradient(image, real, key):
        synthetic = Synthetic(image, (), jnp.ones(len(image)))
        batch = Batch(real, None, None, jnp.ones(real.shape[:2]))
        variables = network.init(key)
        return jax.grad(
            lambda i: objective(synthetic._replace(image=i), batch, variables, {}, key)[
                0
            ]
        )(image)

    shapes = [
        jax.ShapeDtypeStruct((CLASSES * ipc, *SHAPE), jnp.float32),
        jax.ShapeDtypeStruct((CLASSES, count, *SHAPE), jnp.float32),
        jax.eval_shape(lambda: jax.random.key(0)),
    ]
    compiled = jax.jit(gradient).lower(*shapes).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.slow
def test_memory_grows_by_pixels_not_by_activations():
    """Ten times the images add copies of pixels; an activation map has 8 channels."""
    pixels = 4 * 8 * 8
    few, many = _temporary_bytes(10, 32, 8), _temporary_bytes(100, 320, 8)
    added = CLASSES * (90 + 288)
    assert many - few < 6 * added * pixels
    assert _temporary_bytes(100, 320, None) > 4 * many
