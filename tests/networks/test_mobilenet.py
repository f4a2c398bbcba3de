"""Depthwise convolution equals XLA's grouped one; gradients of a small MobileNet."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxdd.networks import depthwise
from jaxdd.networks.functional import from_linen
from jaxdd.networks.mobilenet import STAGES, MobileNet, Stage, last_side
from tests.helpers import finite_difference


def theirs(image, kernel, stride, padding):
    """XLA's convolution with one group a channel."""
    return lax.conv_general_dilated(
        image,
        kernel[:, :, None],
        (stride, stride),
        ((padding, padding), (padding, padding)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=image.shape[-1],
    )


@pytest.mark.parametrize(
    ("size", "stride", "padding", "sides"),
    [(3, 1, 1, (5, 6)), (3, 2, 1, (7, 6)), (5, 2, 0, (9, 6)), (2, 3, 1, (7, 8))],
)
def test_depthwise_equals_xla_up_to_second_order(size, stride, padding, sides, x64):
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.standard_normal((2, *sides, 3)))
    kernel = jnp.asarray(rng.standard_normal((size, size, 3)))

    def derivatives(convolve):
        def loss(image, kernel):
            return jnp.sum(jnp.sin(convolve(image, kernel, stride, padding)))

        def of_gradients(image, kernel):
            one, two = jax.grad(loss, (0, 1))(image, kernel)
            return jnp.sum(jnp.cos(one)) + jnp.sum(jnp.cos(two))

        value = convolve(image, kernel, stride, padding)
        first = jax.grad(loss, (0, 1))(image, kernel)
        return value, first, jax.grad(of_gradients, (0, 1))(image, kernel)

    ours = jax.jit(derivatives, static_argnums=0)(depthwise.convolve)
    expected = jax.jit(derivatives, static_argnums=0)(theirs)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-11), ours, expected
    )


def test_depthwise_in_any_mode_equals_xla_forwards_over_reverse(x64):
    rng = np.random.default_rng(0)
    image, kernel = (
        jnp.asarray(rng.standard_normal(s)) for s in ((2, 6, 5, 3), (3, 3, 3))
    )

    def derivatives(convolve):
        first = jax.grad(lambda i, k: jnp.sum(jnp.sin(convolve(i, k, 2, 1))), (0, 1))
        return jax.jvp(first, (image, kernel), (jnp.cos(image), jnp.cos(kernel)))

    ours = jax.jit(lambda: derivatives(partial(depthwise.convolve, any_mode=True)))()
    for a, b in zip(
        jax.tree.leaves(ours), jax.tree.leaves(derivatives(theirs)), strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_depthwise_gradients_stay_elementwise_in_a_loop():
    """A grouped convolution in the loop would be hundreds of times slower."""
    image, kernel = jnp.ones((2, 8, 8, 3)), jnp.ones((3, 3, 3))

    def step(carry, _):
        return jax.grad(lambda k: jnp.sum(depthwise.convolve(image, k, 2, 1) ** 2))(
            carry
        ), ()

    text = jax.jit(lambda k: lax.scan(step, k, None, 3)[0]).lower(kernel).as_text()
    assert "while" in text
    assert "convolution" not in text


def test_maps_shrink_as_strides_say():
    assert [last_side(side) for side in (8, 28, 32, 64)] == [1, 4, 4, 8]
    assert sum(stage.blocks for stage in STAGES) == 17


@pytest.mark.slow
def test_gradients_of_a_small_mobilenet(key, x64):
    stages = (Stage(1, 2, 1, 1), Stage(2, 3, 2, 2))
    module = MobileNet(stages, first=2, last=4, outputs=3, norm="instance", conv="cpu")
    network = from_linen(module, (6, 6, 2))
    variables = jax.jit(network.init)(key)
    image = jax.random.normal(key, (2, 6, 6, 2), jnp.float64)

    @jax.jit
    def loss(given):
        params, image = given
        output, _ = network.apply(variables._replace(params=params), image, train=True)
        return jnp.sum(jnp.sin(output.logits))

    pairs = finite_difference(loss, (variables.params, image), eps=1e-7)
    for slope, inner in pairs:
        assert slope == pytest.approx(inner, rel=1e-6)
    assert max(abs(inner) for _, inner in pairs) > 1e-3
