"""What the objectives compute on a network, and the network that BYOL averages."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Network, Output, Variables
from jaxdd.errors import InputError
from jaxdd.networks.teacher import training_network
from jaxdd.prepare.ssl_losses import objective
from jaxdd.records import Recipe
from jaxdd.training import losses
from tests.helpers import finite_difference
from tests.prepare.cases import OBJECTIVES, TINY

SHAPE = (8, 8, 1)
VALUES = {
    "barlow": partial(losses.barlow_twins, redundancy=0.3, scale=0.7),
    "simclr": partial(losses.nt_xent, temperature=0.5),
    "vicreg": partial(losses.vicreg, invariance=2.0, variance=3.0, covariance=4.0),
}


def _images(key):
    return tuple(jax.random.uniform(key, (2, 16, *SHAPE)))


def _average(teacher, variables):
    """What BYOL averages, before the first step."""
    _, average = objective(teacher)
    return () if average is None else average.start(variables)


@pytest.mark.slow_cases("vicreg")
@pytest.mark.parametrize("name", VALUES)
def test_each_view_is_forwarded_on_its_own_in_training_mode(name, key):
    teacher = dataclasses.replace(
        OBJECTIVES[name],
        redundancy=0.3,
        loss_scale=0.7,
        temperature=0.5,
        invariance=2.0,
        variance=3.0,
        covariance=4.0,
    )
    network = training_network(teacher, SHAPE)
    variables = jax.jit(network.init)(key)
    one, two = _images(key)
    loss, average = objective(teacher)
    assert average is None
    forward = jax.jit(partial(network.apply, train=True))
    value, (after, _) = jax.jit(partial(loss, network))(
        variables, (), (one, two), (), key
    )
    first, between = forward(variables, one)
    second, last = forward(between, two)
    expected = VALUES[name](first.logits, second.logits)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), after, last)
    if name == "simclr":  # has no batch norm here
        return
    # One forward of both views would standardise them together: another function.
    joint, _ = forward(variables, jnp.concatenate([one, 3 * two]))
    assert not np.allclose(joint.logits[:16], first.logits, atol=1e-3)


def test_byol_predicts_the_averaged_network_of_the_other_view(key):
    teacher = OBJECTIVES["byol"]
    network = training_network(teacher, SHAPE)
    variables = jax.jit(network.init)(key)
    behind = jax.jit(network.init)(jax.random.key(9)).params
    one, two = _images(key)
    forward = jax.jit(partial(network.apply, train=True))
    loss, _ = objective(teacher)
    ema = {name: behind[name] for name in ("body", "projector")}
    value, (after, _) = jax.jit(partial(loss, network))(
        variables, ema, (one, two), (), key
    )
    first, between = forward(variables, one)
    second, last = forward(between, two)
    averaged = Variables(behind, variables.stats)
    target_first, target_second = (
        forward(averaged, view)[0].features for view in (one, two)
    )
    expected = losses.byol(first.logits, target_second)
    expected += losses.byol(second.logits, target_first)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    # The running statistics are those of the trained network alone.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), after, last)


def test_byol_of_an_identity_on_equal_views_is_zero(key):
    def apply(variables, image, *, train=False, key=None):
        rows = image.reshape(len(image), -1) @ variables.params["body"]
        return Output(rows, rows), variables

    weight = jax.random.normal(key, (64, 5))
    network = Network(lambda key: Variables({}, {}), apply, 5, 5, "linear")
    variables = Variables({"body": weight, "predictor": ()}, {})
    image = _images(key)[0]
    loss, _ = objective(OBJECTIVES["byol"])

    def value(ema):
        return loss(network, variables, ema, (image, image), (), key)[0]

    assert float(value({"body": weight})) == pytest.approx(0, abs=1e-6)
    assert float(value({"body": -weight})) == pytest.approx(8, rel=1e-6)


def test_no_gradient_reaches_the_averaged_network(key):
    teacher = OBJECTIVES["byol"]
    network = training_network(teacher, SHAPE)
    variables = jax.jit(network.init)(key)
    loss, _ = objective(teacher)

    @jax.jit
    @partial(jax.grad, argnums=(0, 1))
    def slopes(params, ema):
        now = Variables(params, variables.stats)
        return loss(network, now, ema, _images(key), (), key)[0]

    ours, theirs = slopes(variables.params, _average(teacher, variables))
    for leaf in jax.tree.leaves(theirs):
        np.testing.assert_array_equal(leaf, 0)
    assert set(theirs) == {"body", "projector"}
    for part in ("body", "projector", "predictor"):
        assert max(float(jnp.abs(g).max()) for g in jax.tree.leaves(ours[part])) > 1e-5


def test_the_average_follows_along_a_cosine(x64):
    teacher = dataclasses.replace(
        OBJECTIVES["byol"], target_decay=0.9, recipe=Recipe(steps=4)
    )
    _, average = objective(teacher)
    assert average is not None
    rng = np.random.default_rng(0)
    walk = rng.standard_normal((5, 3))
    followed = average.start(Variables({"body": jnp.asarray(walk[0])}, {}))
    expected = walk[0]
    for step in range(4):
        now = {"body": jnp.asarray(walk[step + 1]), "predictor": jnp.ones(2)}
        followed = average.update(followed, Variables(now, {}), jnp.int32(step))
        decay = 1 - 0.1 * (np.cos(np.pi * step / 4) + 1) / 2
        expected = decay * expected + (1 - decay) * walk[step + 1]
        assert set(followed) == {"body"}
        np.testing.assert_allclose(followed["body"], expected, rtol=1e-12)


@pytest.mark.slow_cases("byol")
@pytest.mark.parametrize("name", ["barlow", "byol"])
def test_gradients_through_the_network_equal_finite_differences(name, key, x64):
    teacher = OBJECTIVES[name]
    network = training_network(teacher, SHAPE)
    variables = jax.jit(network.init)(key)
    images = tuple(image.astype(jnp.float64) for image in _images(key))
    loss, _ = objective(teacher)
    ema = _average(teacher, jax.jit(network.init)(jax.random.key(3)))

    @jax.jit
    def value(params):
        now = Variables(params, variables.stats)
        return loss(network, now, ema, images, (), key)[0]

    for slope, inner in finite_difference(value, variables.params, probes=2, eps=1e-7):
        assert slope == pytest.approx(inner, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"objective": "moco"}, "simclr, vicreg, byol"),
        ({"temperature": 0.0}, "teacher.temperature"),
        ({"target_decay": 1.5}, "teacher.target_decay"),
    ],
)
def test_bad_objectives_are_named(change, named):
    with pytest.raises(InputError, match=named):
        objective(dataclasses.replace(TINY, **change))
