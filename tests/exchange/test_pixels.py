"""Un-whitening to 8 bits, and the measure of what that loses."""

import io

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxdd import whiten
from jaxdd.errors import InputError
from jaxdd.exchange.pixels import encode, to_pixels
from tests.exchange.cases import distilled


@pytest.mark.parametrize("kind", ["none", "standard", "zca_kornia", "zca_frepo"])
def test_real_images_come_back_without_loss(kind):
    real = np.random.default_rng(0).integers(0, 256, (300, 6, 6, 3)).astype(np.uint8)
    mine = distilled("hard", kind)
    white = whiten.apply(mine.whitening, whiten.to_unit(jnp.asarray(real)))
    mine = mine._replace(synthetic=mine.synthetic._replace(image=white))
    pixels, loss = to_pixels(mine)
    np.testing.assert_array_equal(pixels, real)
    assert loss.largest < 1e-4
    assert loss.set_error < 1e-4


def test_the_loss_is_what_it_says():
    """Two pixels of a set without whitening: one clipped by 0.5, one rounded."""
    mine = distilled("hard", "none")
    image = np.full((1, 1, 1, 2), 0.1 + 0.2 / 255, np.float32)
    image[..., 0] = 1.5
    mine = mine._replace(synthetic=mine.synthetic._replace(image=jnp.asarray(image)))
    pixels, loss = to_pixels(mine)
    assert pixels.ravel().tolist() == [255, 26]
    rounded = 26 / 255 - image[0, 0, 0, 1]
    assert loss.clipped == 0.5
    assert loss.largest == pytest.approx(0.5)
    root = np.sqrt((0.5**2 + rounded**2) / 2)
    assert loss.pixel_error == pytest.approx(root)
    size = np.sqrt((1.5**2 + float(image[0, 0, 0, 1]) ** 2) / 2)
    assert loss.set_error == pytest.approx(root / size, rel=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_hold_the_pixels(channels):
    image = np.arange(16 * channels, dtype=np.uint8).reshape(4, 4, channels)
    opened = np.asarray(Image.open(io.BytesIO(encode(image))))
    np.testing.assert_array_equal(opened.reshape(image.shape), image)
    with pytest.raises(InputError, match="images of 4 channels are no pictures"):
        encode(np.zeros((2, 2, 4), np.uint8))
