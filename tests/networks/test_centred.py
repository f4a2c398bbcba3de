"""Centred and scaled students against the loss they stand for, written out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import networks
from jaxdd.base import Variables
from jaxdd.errors import InputError
from jaxdd.evaluation.students import centred_student
from jaxdd.records import (
    Labelled,
    Mlp,
    Protocol,
    Sgd,
)
from jaxdd.training import fit_step, optimisers, supervised
from jaxdd.training.losses import mean_squared_error

DECAY, RATE, SCALE = 0.05, 0.1, 8.0


@pytest.fixture(scope="module")
def given():
    with jax.enable_x64(True):
        spec = Mlp(width=(5,), initialiser="he")
        network = networks.build(spec, (4, 4, 1), 3)
        key = jax.random.key(1)
        start = network.init(key)
        start = Variables(*jax.tree.map(lambda w: w.astype(float), tuple(start)))
        image = jax.random.normal(jax.random.key(2), (6, 4, 4, 1), float)
        target = jax.random.normal(jax.random.key(3), (6, 3), float)
        return network, start, image, target


@pytest.mark.slow_cases("True")
@pytest.mark.parametrize("centre", [True, False])
def test_three_steps_are_those_of_the_authors_loss(given, centre, x64):
    """mean (f - f_0 - s y)^2 / s^2 + decay ||w - w_0||^2, by SGD with momentum."""
    network, start, image, target = given

    def loss(params):
        output = network.apply(Variables(params, {}), image)[0].logits
        zero = network.apply(start, image)[0].logits if centre else 0.0
        error = mean_squared_error(output - zero, SCALE * target) / SCALE**2
        moved = jax.tree.map(
            lambda w, s: jnp.sum((w - centre * s) ** 2), params, start.params
        )
        return error + DECAY * sum(jax.tree.leaves(moved))

    student = networks.centred(network, centre=centre, scale=SCALE)
    spec = Sgd(RATE, 0.9, weight_decay=2 * DECAY)
    optimiser = optimisers.build(spec, 3)
    step = fit_step(student, optimiser, supervised("mse"))
    ours = start
    if centre:
        still = jax.tree.map(jnp.zeros_like, start.params)
        ours = Variables(still, {"start": start.params, "stats": start.stats})
    opt, theirs = optimiser.init(ours.params), start.params
    velocity = jax.tree.map(jnp.zeros_like, theirs)
    for _ in range(3):
        ours, opt, _ = step(ours, opt, image, target, jax.random.key(0))
        slope = jax.grad(loss)(theirs)
        velocity = jax.tree.map(lambda v, g: 0.9 * v + g, velocity, slope)
        theirs = jax.tree.map(lambda w, v: w - RATE * v, theirs, velocity)
    found = ours.params
    if centre:
        found = jax.tree.map(jnp.add, start.params, ours.params)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_a_protocol_centres_its_students(given):
    network = given[0]
    plain = Protocol()
    assert centred_student(network, plain) is network
    asked = Protocol(labelled=Labelled(centred=True, label_scale=SCALE))
    made = centred_student(network, asked)
    assert made is centred_student(network, asked)
    assert made.name.endswith("-centred-over8")
    variables = jax.jit(made.init)(jax.random.key(0))
    output, _ = made.apply(variables, jnp.ones((2, 4, 4, 1)))
    np.testing.assert_array_equal(output.logits, 0)
    assert float(jnp.abs(output.features).max()) > 0
    with pytest.raises(InputError, match="label_scale=0"):
        centred_student(network, Protocol(labelled=Labelled(label_scale=0)))
