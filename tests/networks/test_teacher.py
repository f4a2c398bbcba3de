"""The teacher's body, its representation and its projector."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.errors import InputError
from jaxdd.networks import count_parameters
from jaxdd.networks.teacher import body_variables, represent, training_network
from jaxdd.records import (
    ConvNet,
    Teacher,
)

SHAPE = (8, 8, 1)
BODY = ConvNet(width=(4,), norm="batch")
DIRECT = Teacher(network=BODY, represent="output", outputs=6, projector=())
PROJECTED = Teacher(network=BODY, represent="features", projector=(10, 12))


@pytest.fixture(scope="module")
def image():
    return jax.random.uniform(jax.random.key(0), (5, *SHAPE))


def test_output_teacher_represents_by_its_last_layer(key, image):
    body, read, width = represent(DIRECT, SHAPE)
    variables = jax.jit(body.init)(key)
    output, _ = body.apply(variables, image)
    assert width == 6 == body.output_dim
    np.testing.assert_array_equal(read(variables, image), output.logits)


def test_features_teacher_has_no_last_layer(key, image):
    body, read, width = represent(PROJECTED, SHAPE)
    variables = jax.jit(body.init)(key)
    output, _ = body.apply(variables, image)
    assert width == 4 * 4 * 4
    np.testing.assert_array_equal(read(variables, image), output.features)
    assert "head" not in variables.params


def test_without_a_projector_the_loss_sees_the_representation(key, image):
    network = training_network(DIRECT, SHAPE)
    variables = jax.jit(network.init)(key)
    output, _ = network.apply(variables, image)
    _, read, _ = represent(DIRECT, SHAPE)
    np.testing.assert_array_equal(output.logits, output.features)
    np.testing.assert_array_equal(output.logits, read(body_variables(variables), image))


def test_projector_has_batch_norm_and_relu_after_all_but_the_last_layer(key, image):
    network = training_network(PROJECTED, SHAPE)
    variables = jax.jit(network.init)(key)
    body, _, width = represent(PROJECTED, SHAPE)
    layers = width * 10 + 10 + 2 * 10 + 10 * 12 + 12
    assert count_parameters(network) == count_parameters(body) + layers
    assert (network.feature_dim, network.output_dim) == (width, 12)

    output, after = jax.jit(partial(network.apply, train=True))(variables, image)
    params = variables.params["projector"]
    hidden = output.features @ params["dense_0"]["kernel"]
    hidden = hidden + params["dense_0"]["bias"][None]
    mean, var = hidden.mean(0, keepdims=True), hidden.var(0, keepdims=True)
    hidden = jnp.maximum((hidden - mean) / jnp.sqrt(var + 1e-5), 0)
    expected = hidden @ params["head"]["kernel"] + params["head"]["bias"][None]
    np.testing.assert_allclose(output.logits, expected, rtol=1e-3, atol=1e-4)
    moved = after.stats["projector"]["norm_0"]["mean"]
    np.testing.assert_allclose(moved, 0.1 * mean[0], rtol=1e-4, atol=1e-6)
    assert jax.tree.structure(after) == jax.tree.structure(variables)


def test_a_projector_without_norm_is_dense_and_relu(key, image):
    teacher = dataclasses.replace(PROJECTED, projector_norm=False, objective="simclr")
    network = training_network(teacher, SHAPE)
    variables = jax.jit(network.init)(key)
    output, _ = jax.jit(partial(network.apply, train=True))(variables, image)
    params = variables.params["projector"]
    hidden = output.features @ params["dense_0"]["kernel"]
    hidden = jnp.maximum(hidden + params["dense_0"]["bias"][None], 0)
    expected = hidden @ params["head"]["kernel"] + params["head"]["bias"][None]
    np.testing.assert_allclose(output.logits, expected, rtol=1e-4, atol=1e-5)
    assert variables.stats["projector"] == {}
    assert set(params) == {"dense_0", "head"}


def test_byol_has_a_predictor_behind_its_projector(key, image):
    teacher = dataclasses.replace(PROJECTED, objective="byol", predictor=(7, 12))
    network = training_network(teacher, SHAPE)
    variables = jax.jit(network.init)(key)
    assert (network.feature_dim, network.output_dim) == (12, 12)
    output, after = jax.jit(partial(network.apply, train=True))(variables, image)
    assert jax.tree.structure(after) == jax.tree.structure(variables)
    # Body and projector are those of the teacher without one.
    below = training_network(PROJECTED, SHAPE)
    parts = jax.jit(below.init)(key)
    projection, _ = jax.jit(partial(below.apply, train=True))(parts, image)
    np.testing.assert_allclose(output.features, projection.logits, rtol=1e-5, atol=1e-6)
    params = variables.params["predictor"]
    hidden = output.features @ params["dense_0"]["kernel"]
    hidden = hidden + params["dense_0"]["bias"][None]
    mean, var = hidden.mean(0, keepdims=True), hidden.var(0, keepdims=True)
    hidden = jnp.maximum((hidden - mean) / jnp.sqrt(var + 1e-5), 0)
    expected = hidden @ params["head"]["kernel"] + params["head"]["bias"][None]
    np.testing.assert_allclose(output.logits, expected, rtol=1e-3, atol=1e-4)


def test_half_precision_body_gives_float32_projections(key, image):
    network = training_network(PROJECTED, SHAPE, "bfloat16")
    variables = jax.eval_shape(network.init, key)
    output, _ = jax.eval_shape(partial(network.apply, train=True), variables, image)
    assert output.logits.dtype == output.features.dtype == jnp.float32


@pytest.mark.parametrize(
    ("teacher", "named"),
    [
        (Teacher(network=BODY, represent="logits"), "teacher.represent"),  # pyright: ignore
        (Teacher(network=BODY, represent="output", outputs=0), "outputs"),
        (Teacher(network=BODY, projector=(8, 0)), "teacher.projector"),
        (Teacher(network=BODY, objective="byol"), "teacher.predictor"),
        (
            Teacher(network=BODY, objective="byol", projector=(8,), predictor=()),
            "teacher.predictor",
        ),
    ],
)
def test_bad_teachers_are_named(teacher, named):
    with pytest.raises(InputError, match=named):
        training_network(teacher, SHAPE)
