"""Mirror images beside the learned ones: rows, gradients, storage."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import networks
from jaxdd.base import Batch, Decoder, Synthetic, Task
from jaxdd.decoders import flip, pixels
from jaxdd.objectives.gradient import class_gradients
from jaxdd.objectives.moments import mean_features
from jaxdd.records import (
    Mlp,
)
from tests.helpers import toy_corpus

CLASSES, IPC, SHAPE = 4, 2, (8, 8, 1)
TASK = Task(SHAPE, CLASSES, CLASSES * IPC, IPC, 1, 48)


@pytest.fixture
def started(key: jax.Array) -> tuple[Decoder, dict]:
    plain = pixels(TASK)
    return plain, plain.init(key, toy_corpus(), {})


def test_every_image_stands_beside_its_mirror_image(key, started):
    plain, params = started
    decoder = flip(plain)
    assert jax.tree.structure(decoder.init(key, toy_corpus(), {})) == (
        jax.tree.structure(params)
    )
    once, twice = (d.decode(params, {}, key) for d in (plain, decoder))
    np.testing.assert_array_equal(twice.image[::2], once.image)
    np.testing.assert_array_equal(twice.image[1::2], once.image[:, :, ::-1])
    np.testing.assert_array_equal(twice.target, np.repeat(once.target, 2))
    assert (np.diff(twice.target) >= 0).all()  # still by classes
    assert twice.weight.shape == (2 * len(once.weight),)


def test_rows_count_the_doubled_set(key, started):
    plain, params = started
    decoder = flip(plain)
    whole = decoder.decode(params, {}, key)
    rows = jnp.array([3, 4, 15, 0])
    part = decoder.decode(params, {}, key, rows)
    for field in ("image", "target", "weight"):
        np.testing.assert_array_equal(getattr(part, field), getattr(whole, field)[rows])


def test_storage_and_export_are_those_of_the_set_alone(key, started):
    plain, params = started
    decoder = flip(plain)
    assert decoder.floats(params) == plain.floats(params)
    assert decoder.export is not None
    stored = decoder.export(params, {}, key)
    np.testing.assert_array_equal(stored.image, params["image"])
    np.testing.assert_array_equal(stored.target, plain.decode(params, {}, key).target)
    own = plain._replace(export=lambda params, assets, key: "own")
    assert flip(own).export is own.export


def _loss(objective, batch, variables, key, decoder):
    def loss(image):
        synthetic = decoder.decode({"image": image}, {}, key)
        return objective(synthetic, batch, variables, {}, key)[0]

    return loss


@pytest.mark.parametrize("matching", [class_gradients, mean_features])
def test_gradient_folds_and_follows_the_mirror(matching, key, started, x64):
    """L(flip S) = L(S), so its gradient mirrors; and it is g_1 + flip(g_2)."""
    plain, params = started
    network = networks.build(Mlp(width=(6,)), SHAPE, CLASSES)
    wide = lambda leaf: leaf.astype(jnp.float64)
    variables = jax.tree.map(wide, jax.jit(network.init)(key))
    image = wide(params["image"])
    real = jax.random.normal(key, (CLASSES, 3, *SHAPE))
    batch = Batch(real, None, None, jnp.ones((CLASSES, 3)))
    objective = matching(network)
    decoder = flip(plain)
    value = jax.jit(
        jax.value_and_grad(_loss(objective, batch, variables, key, decoder))
    )
    loss, slope = value(image)
    mirrored_loss, mirrored_slope = value(image[:, :, ::-1])
    np.testing.assert_allclose(mirrored_loss, loss, rtol=1e-12)
    np.testing.assert_allclose(mirrored_slope, slope[:, :, ::-1], atol=1e-12)
    symmetric = (image + image[:, :, ::-1]) / 2
    _, slope_there = value(symmetric)
    np.testing.assert_allclose(slope_there, slope_there[:, :, ::-1], atol=1e-12)

    def by_rows(first, second):
        pairs = jnp.stack([first, second], 1).reshape(-1, *SHAPE)
        label = jnp.repeat(jnp.arange(CLASSES), 2 * IPC)
        synthetic = Synthetic(pairs, label, jnp.ones(len(pairs)))
        return objective(synthetic, batch, variables, {}, key)[0]

    own, other = jax.jit(jax.grad(by_rows, (0, 1)))(image, image[:, :, ::-1])
    np.testing.assert_allclose(slope, own + other[:, :, ::-1], atol=1e-12)
    assert float(jnp.abs(own - other[:, :, ::-1]).max()) > 1e-6
