"""Resampling against SciPy's."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxdd.augment import affine

MODES = {"zero": "grid-constant", "edge": "nearest"}


@pytest.mark.parametrize("outside", MODES)
@pytest.mark.parametrize("angle", [0.2, -1.0, 2.5])
def test_rotation_equals_that_of_scipy(angle, outside, x64):
    image = np.random.default_rng(0).standard_normal((2, 9, 6, 2))
    out = affine.rotate(jnp.asarray(image), jnp.array([angle]), outside)
    cos, sin = np.cos(angle), np.sin(angle)
    matrix, centre = np.array([[cos, sin], [-sin, cos]]), np.array([4, 2.5])
    for row in range(2):
        for channel in range(2):
            expected = ndimage.affine_transform(
                image[row, :, :, channel],
                matrix,
                centre - matrix @ centre,
                order=1,
                mode=MODES[outside],
            )
            np.testing.assert_allclose(out[row, ..., channel], expected, atol=1e-12)


@pytest.mark.parametrize("outside", MODES)
def test_separable_resampling_equals_interpolation(outside, x64):
    image = np.random.default_rng(1).standard_normal((1, 5, 7, 1))
    row = np.array([[-1.5, -0.25, 0.0, 2.75, 4.5]])
    column = np.array([[-2.0, -0.5, 0.5, 3.25, 6.0, 6.5, 9.0]])
    out = affine.resample(
        jnp.asarray(image), jnp.asarray(row), jnp.asarray(column), outside
    )
    grid = np.meshgrid(row[0], column[0], indexing="ij")
    expected = ndimage.map_coordinates(
        image[0, :, :, 0], grid, order=1, mode=MODES[outside]
    )
    np.testing.assert_allclose(out[0, :, :, 0], expected, atol=1e-12)


def test_a_quarter_turn_moves_every_pixel_to_its_place(x64):
    image = jnp.arange(9.0).reshape(1, 3, 3, 1)
    out = affine.rotate(image, jnp.array([np.pi / 2]))[0, ..., 0]
    np.testing.assert_allclose(out, np.rot90(image[0, ..., 0]), atol=1e-9)
