"""Gaussian blur."""

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Augment, Key, PyTree

__all__ = ["gaussian_blur"]

_SIGMA = (0.1, 2.0)  # pixels


def gaussian_blur(probability: float, image_shape: tuple[int, int, int]) -> Augment:
    """Blurs an image by a Gaussian of uniform width in [0.1, 2] pixels.

    The kernel spans about a tenth of the shorter side, 3 pixels at least (Chen et al.
    2020, "SimCLR", arXiv 2002.05709, appendix A), and the image is mirrored at its
    borders, without repeating the outermost pixels. Parameters: {"on": bool [n],
    "sigma": [n]}.
    """
    reach = max(1, round((min(image_shape[:2]) / 10 - 1) / 2))

    def sample(key: Key, n: int) -> PyTree:
        key_on, key_sigma = jax.random.split(key)
        low, high = _SIGMA
        return {
            "on": jax.random.bernoulli(key_on, probability, (n,)),
            "sigma": jax.random.uniform(key_sigma, (n,), minval=low, maxval=high),
        }

    def apply(params: PyTree, image: Array) -> Array:
        place = jnp.arange(-reach, reach + 1, dtype=params["sigma"].dtype)[None]
        bell = jnp.exp(-((place / params["sigma"][:, None]) ** 2) / 2)
        kernel = (bell / bell.sum(1, keepdims=True)).astype(image.dtype)
        blurred = _along(_along(image, kernel, 1), kernel, 2)
        return jnp.where(params["on"][:, None, None, None], blurred, image)

    return Augment(sample, apply)


def _along(image: Array, kernel: Array, axis: int) -> Array:
    """Correlates images [n,h,w,c] with kernels [n or 1, taps] along one axis."""
    taps, size = kernel.shape[1], image.shape[axis]
    around = [(0, 0)] * 4
    around[axis] = (taps // 2, taps // 2)
    padded = jnp.pad(image, around, mode="reflect")
    weight = kernel[:, :, None, None, None]
    shifted = [
        weight[:, tap] * jax.lax.slice_in_dim(padded, tap, tap + size, axis=axis)
        for tap in range(taps)
    ]
    return sum(shifted[1:], shifted[0])
