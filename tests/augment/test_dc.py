"""DC's operations against SciPy, and their ranges."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxdd.augment import dc


@pytest.mark.parametrize("side", [8, 9, 28])
def test_rotation_equals_that_of_scipy_for_every_angle(side, x64):
    """Cubic spline in float64: every angle to 1e-12."""
    degrees = np.arange(-45, 45)
    image = np.random.default_rng(side).standard_normal((90, side, side, 2))
    mean = image.mean()
    op = dc.operations((side, side, 2))["rotate"]
    out = jax.jit(op.apply)(jnp.asarray(degrees), jnp.asarray(image))
    for number, angle in enumerate(degrees):
        whole = ndimage.rotate(image[number], angle, axes=(1, 0), cval=mean)
        top, left = ((n - side) // 2 for n in whole.shape[:2])
        whole = whole[top : top + side, left : left + side]
        np.testing.assert_allclose(out[number], whole, atol=1e-12)


def test_noise_is_small_and_not_shared(key):
    op = dc.operations((16, 16, 3))["noise"]
    added = op.apply(op.sample(key, 8), jnp.zeros((8, 16, 16, 3)))
    assert abs(float(added.std()) - 1e-3) < 5e-5
    assert not np.allclose(added[0], added[1])


def test_unchanged_parameters_change_nothing(key):
    image = jnp.asarray(np.random.default_rng(0).random((2, 8, 8, 1)), jnp.float32)
    for name, params, tolerance in (
        ("crop", [[4, 4]], 0),
        ("scale", [[8, 8]], 0),
        ("rotate", [0], 1e-6),  # through the spline and back
    ):
        op = dc.operations((8, 8, 1))[name]
        out = jax.jit(op.apply)(jnp.asarray(params), image)
        np.testing.assert_allclose(out, image, rtol=0, atol=tolerance)


def test_draws_of_dc_fill_their_ranges(key):
    sample = jax.jit(dc.dc("crop_scale_rotate", (28, 28, 1)).sample, static_argnums=1)
    params = sample(key, 4000)
    for name, values in {
        "crop": range(8),
        "scale": range(22, 34),
        "rotate": range(-45, 45),
        "token": range(3),
    }.items():
        assert set(np.asarray(params[name]).ravel()) == set(values)
    assert params["token"].shape == (4000,)


def test_default_strategy_is_that_for_natural_images(key):
    assert set(dc.dc("", (8, 8, 3)).sample(key, 2)) == {"token", "crop", "noise"}
