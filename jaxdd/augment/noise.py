"""Additive noise."""

import jax

from jaxdd.base import Array, Augment, Key

__all__ = ["additive_noise"]


def additive_noise(deviation: float, image_shape: tuple[int, int, int]) -> Augment:
    """Adds Gaussian noise of the given standard deviation, without clipping.

    Parameters: [n,h,w,c], the noise itself.
    """

    def sample(key: Key, n: int) -> Array:
        return deviation * jax.random.normal(key, (n, *image_shape))

    def apply(added: Array, image: Array) -> Array:
        # A single draw [1,h,w,c] is shared by all images.
        return image + added.astype(image.dtype)

    return Augment(sample, apply)
