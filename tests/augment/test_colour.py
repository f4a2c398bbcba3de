"""Colour operations against their definitions."""

import colorsys

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.augment import colour, noise


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    rows = np.random.default_rng(5).random((2, 4, 4, 3)).astype(np.float32)
    rows[0, 0, 0] = 0.3  # a grey pixel has no hue
    return rows


def _luma(image: np.ndarray) -> np.ndarray:
    return image @ np.array([0.299, 0.587, 0.114], np.float32)


def _jitter(image: np.ndarray, **factors: float) -> np.ndarray:
    params = {name: jnp.array([f], jnp.float32) for name, f in factors.items()}
    params["on"] = jnp.array([True])
    op = colour.colour_jitter(0.4, 0.4, 0.4, 0.4)
    return np.asarray(op.apply(params, jnp.asarray(image)))


def test_brightness_multiplies_and_clips(image):
    out = _jitter(image, brightness=1.5)
    np.testing.assert_allclose(out, np.clip(1.5 * image, 0, 1), rtol=1e-5)


def test_contrast_is_around_the_mean_luma(image):
    middle = _luma(image).mean((1, 2))[:, None, None, None]
    expected = np.clip(middle + 1.4 * (image - middle), 0, 1)
    np.testing.assert_allclose(_jitter(image, contrast=1.4), expected, atol=1e-5)


def test_saturation_is_around_the_pixels_luma(image):
    grey = _luma(image)[..., None]
    expected = np.clip(grey + 0.6 * (image - grey), 0, 1)
    np.testing.assert_allclose(_jitter(image, saturation=0.6), expected, atol=1e-5)


def test_hue_turns_as_in_the_standard_library(image):
    def turned(pixel: np.ndarray) -> tuple[float, float, float]:
        hue, saturation, value = colorsys.rgb_to_hsv(*map(float, pixel))
        return colorsys.hsv_to_rgb((hue - 0.2) % 1.0, saturation, value)

    expected = np.apply_along_axis(turned, -1, image)
    np.testing.assert_allclose(_jitter(image, hue=-0.2), expected, atol=1e-5)


def test_jitter_with_unit_factors_or_switched_off_is_the_identity(image, key):
    same = _jitter(image, brightness=1.0, contrast=1.0, saturation=1.0, hue=0.0)
    np.testing.assert_allclose(same, image, atol=1e-5)
    off = colour.colour_jitter(0.4, 0.4, 0.4, 0.1, probability=0.0)
    out = off.apply(off.sample(key, 2), jnp.asarray(image))
    np.testing.assert_array_equal(out, image)


def test_jitter_draws_only_what_is_switched_on(key):
    params = colour.colour_jitter(0.5, 0.0, 0.0, 0.2, 0.8).sample(key, 400)
    assert sorted(params) == ["brightness", "hue", "on"]
    assert 0.7 < float(params["on"].mean()) < 0.9
    assert 0.5 <= float(params["brightness"].min()) < 0.6
    assert -0.2 <= float(params["hue"].min()) < -0.15


def test_jitter_of_grey_images_needs_no_colours(key):
    image = jnp.full((2, 4, 4, 1), 0.5)
    op = colour.colour_jitter(0.4, 0.4, 0.0, 0.0)
    assert op.apply(op.sample(key, 2), image).shape == image.shape


def test_grayscale_and_solarize_at_known_coins(image):
    on = jnp.array([True, False])
    grey = colour.grayscale(0.5).apply(on, jnp.asarray(image))
    np.testing.assert_allclose(grey[0, ..., 1], _luma(image[0]), rtol=1e-5)
    np.testing.assert_array_equal(grey[1], image[1])
    sun = colour.solarize(0.5).apply(on, jnp.asarray(image))
    np.testing.assert_allclose(sun[0], np.where(image[0] > 0.5, 1 - image[0], image[0]))
    np.testing.assert_array_equal(sun[1], image[1])


def test_noise_has_its_deviation(key):
    op = noise.additive_noise(0.3, (16, 16, 3))
    added = op.apply(op.sample(key, 20), jnp.zeros((20, 16, 16, 3)))
    assert abs(float(added.std()) - 0.3) < 0.01
