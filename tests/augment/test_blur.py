"""The blur against SciPy's filters."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from jaxdd.augment.blur import gaussian_blur


def _expected(image: np.ndarray, sigma: float, taps: int) -> np.ndarray:
    """Rows, then columns, with the borders mirrored."""
    place = np.arange(taps) - taps // 2
    kernel = np.exp(-(place**2) / (2 * sigma**2))
    kernel /= kernel.sum()
    rows = ndimage.correlate1d(image, kernel, axis=0, mode="mirror")
    return ndimage.correlate1d(rows, kernel, axis=1, mode="mirror")


@pytest.mark.parametrize(
    ("shape", "taps"), [((8, 8, 3), 3), ((64, 70, 1), 7), ((96, 96, 1), 9)]
)
def test_blur_equals_that_of_scipy(shape, taps, x64):
    image = np.random.default_rng(0).random((3, *shape))
    params = {
        "on": jnp.array([True, False, True]),
        "sigma": jnp.array([0.4, 1.0, 2.0]),
    }
    out = gaussian_blur(0.5, shape).apply(params, jnp.asarray(image))
    for row, sigma in ((0, 0.4), (2, 2.0)):
        np.testing.assert_allclose(
            out[row], _expected(image[row], sigma, taps), rtol=1e-12
        )
    np.testing.assert_array_equal(out[1], image[1])


def test_blur_draws_its_width_and_its_coin(key):
    params = gaussian_blur(0.3, (8, 8, 1)).sample(key, 2000)
    assert 0.25 < float(params["on"].mean()) < 0.35
    assert 0.1 <= float(params["sigma"].min()) < 0.12
    assert 1.98 < float(params["sigma"].max()) <= 2.0
