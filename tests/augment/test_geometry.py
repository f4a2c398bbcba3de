"""Geometric operations at known parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxdd.augment import geometry

SHAPE = (8, 7, 2)


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(3).random((2, *SHAPE)).astype(np.float32)


def test_crop_moves_by_its_offset_with_zero_fill(image):
    op = geometry.crop(2)
    out = op.apply(jnp.array([[2, 2], [3, 1]]), jnp.asarray(image))
    np.testing.assert_array_equal(out[0], image[0])
    rolled = np.zeros_like(image[1])
    rolled[:-1, 1:] = image[1, 1:, :-1]
    np.testing.assert_array_equal(out[1], rolled)


def test_crop_offsets_cover_their_range(key):
    offset = geometry.crop(1).sample(key, 200)
    assert sorted(set(np.asarray(offset).ravel())) == [0, 1, 2]


def test_flip_twice_is_the_identity(image):
    op, on = geometry.flip(), jnp.array([True, False])
    once = op.apply(on, jnp.asarray(image))
    np.testing.assert_array_equal(once[0], image[0, :, ::-1])
    np.testing.assert_array_equal(once[1], image[1])
    np.testing.assert_array_equal(op.apply(on, once), image)


def test_shift_and_zoom_match_an_affine_resampling(image):
    move, zoom = np.array([[0.4, -1.3], [0.0, 0.0]]), np.array([1.25, 1.0])
    params = {
        "shift": jnp.asarray(move, jnp.float32),
        "zoom": jnp.asarray(zoom, jnp.float32),
    }
    out = geometry.shift_scale(2.0, 0.3).apply(params, jnp.asarray(image))
    centre = (np.array(SHAPE[:2]) - 1) / 2
    matrix = np.eye(2) / zoom[0]
    offset = centre - matrix @ (centre + move[0])
    for c in range(SHAPE[2]):
        expected = ndimage.affine_transform(
            image[0, :, :, c], matrix, offset, order=1, mode="grid-constant"
        )
        np.testing.assert_allclose(out[0, :, :, c], expected, atol=1e-5)
    np.testing.assert_allclose(out[1], image[1], atol=1e-6)


def test_shift_and_zoom_stay_in_their_ranges(key):
    params = geometry.shift_scale(2.0, 0.5).sample(key, 500)
    assert 1.8 < float(jnp.abs(params["shift"]).max()) <= 2.0
    assert float(params["zoom"].min()) >= 1 / 1.5
    assert 1.4 < float(params["zoom"].max()) <= 1.5


def test_crop_of_the_whole_box_changes_nothing(image):
    op = geometry.resized_crop(0.2, SHAPE)
    whole = jnp.array([[0.0, 0.0, 8.0, 7.0]])
    np.testing.assert_allclose(op.apply(whole, jnp.asarray(image)), image, atol=1e-6)


def test_crop_of_one_pixel_fills_the_image_with_it(image):
    op = geometry.resized_crop(0.01, SHAPE)
    out = op.apply(jnp.array([[3.0, 2.0, 1.0, 1.0]]), jnp.asarray(image))
    np.testing.assert_allclose(out, np.broadcast_to(image[:, 3:4, 2:3], out.shape))


def test_crop_boxes_have_their_area_and_lie_inside(key):
    shape = (32, 32, 3)
    box = np.asarray(geometry.resized_crop(0.25, shape).sample(key, 1000))
    top, left, tall, wide = box.T
    area, ratio = tall * wide / 1024, wide / tall
    assert area.min() > 0.249
    assert area.max() < 1.001
    assert ratio.min() > 0.749
    assert ratio.max() < 1.334
    assert min(top.min(), left.min()) >= 0
    assert (top + tall).max() <= 32.001
    assert (left + wide).max() <= 32.001
    # Uniform between 1/4 and 1, a little less at the top where boxes stop fitting.
    assert 0.55 < area.mean() < 0.65


@pytest.mark.slow
def test_geometry_keeps_double_precision(key, x64):
    image = jax.random.uniform(key, (1, *SHAPE))
    for op in (geometry.shift_scale(1.0, 0.1), geometry.resized_crop(0.5, SHAPE)):
        assert op.apply(op.sample(key, 1), image).dtype == jnp.float64
