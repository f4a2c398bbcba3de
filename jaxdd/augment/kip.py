"""KIP's augmentation of real images: one rotation and shift, then a mirroring.

T. Nguyen, R. Novak, L. Xiao, J. Lee, NeurIPS 2021, arXiv 2107.13034, by Keras' image
generator; the ranges are not published with their sets, and are usual ones here. What
comes from outside repeats the outermost pixels. Parameters have leading axis n or 1.
"""

import math

import jax
import jax.numpy as jnp

from jaxdd.augment import affine, geometry, policy
from jaxdd.base import Array, Augment, Key, PyTree

__all__ = ["kip"]

_ALL = "rotate_shift_flip"
_ANGLE = math.radians(10)
_SHIFT = 0.1  # share of a side


def kip(strategy: str, image_shape: tuple[int, int, int]) -> Augment:
    """All the operations that the strategy names, with parameters of each image's own.

    Rotation and shift are one bilinear resampling. It commutes with brightness and
    contrast, so that standardising may come before or after.

    Args:
      strategy: operations joined by "_"; "" = rotate, shift and flip.
      image_shape: (h, w, c).

    Returns:
      The augmentation; parameters {"move": {"angle": radians [n], "shift": pixels
      [n,2]}, "flip": bool [n]}.

    Raises:
      InputError: an unknown operation.
    """
    known = {name: geometry.flip() for name in _ALL.split("_")}
    names = policy.named_operations(strategy or _ALL, known, "kip")
    parts = {}
    if "rotate" in names or "shift" in names:
        height, width, _ = image_shape
        reach = _SHIFT * ("shift" in names)
        parts["move"] = _move(
            _ANGLE * ("rotate" in names), (reach * height, reach * width)
        )
    if "flip" in names:
        parts["flip"] = geometry.flip()
    return policy.chain(parts)


def _move(angle: float, reach: tuple[float, float]) -> Augment:
    """Shifts by up to `reach` pixels (rows, columns), then rotates by up to `angle`."""

    def sample(key: Key, n: int) -> PyTree:
        key_angle, key_shift = jax.random.split(key)
        place = jax.random.uniform(key_shift, (n, 2), minval=-1.0, maxval=1.0)
        turn = jax.random.uniform(key_angle, (n,), minval=-angle, maxval=angle)
        return {"angle": turn, "shift": jnp.array([reach]) * place}

    def apply(params: PyTree, image: Array) -> Array:
        return affine.rotate(image, params["angle"], "edge", params["shift"])

    return Augment(sample, apply)
