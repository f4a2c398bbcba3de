"""Self-supervised training of a teacher."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import losses, whiten
from jaxdd.base import InputError
from jaxdd.networks.teacher import training_network
from jaxdd.prepare.ssl import train_teacher, two_views
from jaxdd.prepare.ssl_losses import objective
from jaxdd.presets import _teachers
from jaxdd.records import AugmentSpec
from tests.helpers import toy_corpus
from tests.prepare.cases import RECIPE, TINY


@pytest.fixture(scope="module")
def trained():
    return train_teacher(TINY, toy_corpus())


def test_training_lowers_the_loss_and_depends_on_the_seed_only(trained):
    variables, metrics = trained
    assert metrics["loss"].shape == (RECIPE.steps,)
    assert metrics["loss"][-3:].mean() < 0.8 * metrics["loss"][:2].mean()
    again, _ = train_teacher(TINY, toy_corpus())
    jax.tree.map(np.testing.assert_array_equal, again, variables)
    other, _ = train_teacher(dataclasses.replace(TINY, seed=1), toy_corpus())
    kernel = variables.params["head"]["kernel"]
    assert not np.array_equal(other.params["head"]["kernel"], kernel)


def test_views_come_from_the_same_rows_and_differ(key):
    corpus = toy_corpus()
    noisy = dataclasses.replace(RECIPE, augment=AugmentSpec(noise=0.01))
    source = jax.jit(two_views(noisy, corpus.image_shape))
    (one, two), _ = source(key, 0, corpus)
    assert one.shape == (16, 8, 8, 1)
    assert not np.array_equal(one, two)
    unit = np.asarray(whiten.to_unit(corpus.image)).reshape(48, -1)
    rows = [
        np.argmin(np.sum((np.asarray(v).reshape(16, 1, -1) - unit[None]) ** 2, 2), 1)
        for v in (one, two)
    ]
    np.testing.assert_array_equal(*rows)
    assert len(set(rows[0])) == 16
    (later, _), _ = source(key, 1, corpus)
    assert not np.array_equal(one, later)


def test_views_are_whitened_after_the_augmentation(key):
    corpus = toy_corpus()
    fitted = whiten.fit("standard", np.asarray(corpus.image))
    white = dataclasses.replace(corpus, whitening=fitted)
    source = jax.jit(two_views(RECIPE, corpus.image_shape))
    (raw, _), _ = source(key, 3, corpus)
    (view, _), _ = source(key, 3, white)
    np.testing.assert_allclose(whiten.inverse(fitted, view), raw, atol=1e-5)


def test_only_the_second_view_is_solarized(key):
    corpus = toy_corpus(channels=3)
    recipe = dataclasses.replace(RECIPE, augment=AugmentSpec(solarize=1.0))
    (first, second), _ = two_views(recipe, corpus.image_shape)(key, 0, corpus)
    bright = np.asarray(first) >= 0.5
    assert bright.any()
    np.testing.assert_allclose(second, np.where(bright, 1 - first, first), atol=1e-6)


def test_loss_forwards_each_view_on_its_own_in_training_mode(key):
    network = training_network(TINY, (8, 8, 1))
    variables = jax.jit(network.init)(key)
    one, two = jax.random.uniform(key, (2, 16, 8, 8, 1))
    forward = jax.jit(partial(network.apply, train=True))
    loss, _ = objective(dataclasses.replace(TINY, redundancy=0.3, loss_scale=0.7))
    value, (after, _) = jax.jit(partial(loss, network))(
        variables, (), (one, two), (), key
    )
    first, between = forward(variables, one)
    second, last = forward(between, two)
    expected = losses.barlow_twins(
        first.logits, second.logits, redundancy=0.3, scale=0.7
    )
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), after, last)
    # One forward of both views would standardise them together: another function.
    joint, _ = forward(variables, jnp.concatenate([one, 3 * two]))
    assert not np.allclose(joint.logits[:16], first.logits, atol=1e-3)


def test_the_colour_recipe_lowers_its_loss():
    teacher = dataclasses.replace(
        _teachers.CIFAR,
        network=TINY.network,
        projector=(16, 16),
        recipe=dataclasses.replace(
            _teachers.CIFAR.recipe,
            steps=40,
            batch=32,
            optimiser=dataclasses.replace(_teachers.CIFAR.recipe.optimiser, warmup=4),
        ),
    )
    variables, metrics = train_teacher(teacher, toy_corpus(channels=3))
    assert metrics["loss"][-8:].mean() < 0.9 * metrics["loss"][:4].mean()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(variables))
    assert "projector" not in variables.params


def test_a_batch_of_one_is_refused():
    lonely = dataclasses.replace(TINY, recipe=dataclasses.replace(RECIPE, batch=1))
    with pytest.raises(InputError, match="at least two rows"):
        train_teacher(lonely, toy_corpus())
