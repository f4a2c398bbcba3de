"""Gradients summed over portions of a batch, against those of the whole batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import networks
from jaxdd.base import Variables
from jaxdd.records import (
    ConvNet,
    ResNet,
    Sgd,
)
from jaxdd.training import fit_step, portions, supervised
from jaxdd.training.batches import Weighted
from jaxdd.training.optimisers import build

SHAPE, CLASSES, ROWS = (8, 8, 3), 3, 10


def made(**options):
    spec = ConvNet(**{"width": (4, 4), **options})
    network = networks.build(spec, SHAPE, CLASSES)
    return network, jax.jit(network.init)(jax.random.key(0))


def batch():
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.standard_normal((ROWS, *SHAPE)))
    label = jnp.asarray(rng.integers(0, CLASSES, ROWS))
    weight = jnp.asarray(
        [1 / 3, 2.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 3.0, 1.0], jnp.float32
    )
    return images, label, weight


@pytest.mark.parametrize("rows", [2, 4, 10, 12])
@pytest.mark.parametrize("weighted", [False, True])
def test_portions_sum_to_the_gradient_of_the_batch(x64, rows, weighted):
    network, variables = made()
    images, label, weight = batch()
    targets = Weighted(label, weight) if weighted else label
    loss = supervised("cross_entropy")

    def objective(params, images, targets, key):
        return loss(network, Variables(params, {}), (), images, targets, key)[0]

    given = variables.params, images, targets, jax.random.key(1)
    whole = jax.jit(jax.value_and_grad(objective))(*given)
    summed = jax.jit(
        lambda *given: portions.value_and_gradient(objective, *given, rows)
    )(*given)
    assert float(whole[0]) > 0.1
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12), summed, whole
    )


def test_portions_without_weight_are_nothing(x64):
    network, variables = made()
    images, label, _ = batch()
    loss = supervised("cross_entropy")

    def objective(params, images, targets, key):
        return loss(network, Variables(params, {}), (), images, targets, key)[0]

    targets = Weighted(label, jnp.zeros(ROWS))
    value, gradient = jax.jit(portions.value_and_gradient, static_argnums=(0, 5))(
        objective, variables.params, images, targets, jax.random.key(0), 4
    )
    assert value == 0
    assert all(not leaf.any() for leaf in jax.tree.leaves(gradient))


def test_each_portion_has_its_own_key():
    def objective(params, images, targets, key):
        return params * jax.random.uniform(key) * jnp.sum(targets.weight) ** 0

    _, gradient = portions.value_and_gradient(
        objective, jnp.ones(()), jnp.zeros((2, 1)), jnp.zeros(2), jax.random.key(0), 1
    )
    keys = [jax.random.fold_in(jax.random.key(0), i) for i in range(2)]
    wanted = np.mean([jax.random.uniform(key) for key in keys])
    np.testing.assert_allclose(gradient, wanted, rtol=1e-6)


def test_fit_step_is_the_same_by_rows(x64, monkeypatch):
    network, variables = made()
    images, label, weight = batch()
    optimiser = build(Sgd(), 3)
    opt = optimiser.init(variables.params)
    loss = supervised("cross_entropy")

    def step(by_rows):
        update = fit_step(network, optimiser, loss, by_rows=by_rows)
        given = variables, opt, images, Weighted(label, weight), jax.random.key(0)
        after, _, metrics = jax.jit(update)(*given)
        return after, metrics

    whole = step(by_rows=False)
    monkeypatch.setattr(portions, "_LEAST_BYTES", 1)
    monkeypatch.setattr(portions, "_LEAST_ROWS", 2)
    assert portions.portion_rows(network, variables, images) < ROWS
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-12),
        step(by_rows=True),
        whole,
    )


@pytest.mark.parametrize(
    ("width", "count", "rows"),
    [
        (128, 100, 4),
        (32, 100, 4),
        (32, 10, 10),
        (32, 50, 10),
        (32, 27, 4),
        (8, 100, 20),
    ],
)
def test_portions_fit_the_cache(width, count, rows):
    network = networks.build(ConvNet(width=(width,) * 3), (32, 32, 3), 10)
    variables = jax.eval_shape(network.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((count, 32, 32, 3), jnp.float32)
    assert portions.portion_rows(network, variables, images) == rows


def test_many_parameters_need_large_portions():
    network = networks.build(ResNet("resnet18"), (32, 32, 3), 10)
    variables = jax.eval_shape(network.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((100, 32, 32, 3), jnp.float32)
    assert portions.portion_rows(network, variables, images) == 100


def test_coupled_rows_stay_together():
    network, variables = made(norm="batch", width=(256, 256))
    assert not network.per_image
    images = jnp.zeros((64, *SHAPE))
    assert portions.portion_rows(network, variables, images) == 64
