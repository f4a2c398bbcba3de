"""Differentiable siamese augmentation (DSA): its six operations and three policies.

B. Zhao, H. Bilen, "Dataset Condensation with Differentiable Siamese Augmentation",
ICML 2021, arXiv 2102.08259; constants of VICO-UoE/DatasetCondensation. Images are
whitened, so that 0 is the data's mean; parameters have leading axis n or 1.
"""

import math

import jax
import jax.numpy as jnp

from jaxdd.augment import affine, geometry, policy
from jaxdd.base import Array, Augment, Key, PyTree

__all__ = ["dsa", "fyi", "idc", "operations"]

_ALL = "color_crop_cutout_flip_scale_rotate"
_ZOOM = 1.2
_ANGLE = math.radians(15)
_PAD, _CUT = 0.125, 0.5  # shares of a side


def dsa(strategy: str, image_shape: tuple[int, int, int]) -> Augment:
    """One operation for the whole batch, with parameters of each image's own.

    Drawn once for both sides (`sample(key, 1)`) it is the siamese augmentation of
    DSA and DM; drawn for n images that of their students.

    Args:
      strategy: operations joined by "_"; "" = all six.
      image_shape: (h, w, c).

    Returns:
      The augmentation; parameters as `policy.one_of`.

    Raises:
      InputError: an unknown operation.
    """
    known = operations(image_shape)
    return policy.one_of(policy.named_operations(strategy or _ALL, known, "dsa"))


def fyi(strategy: str, image_shape: tuple[int, int, int]) -> Augment:
    """As `dsa`, but a flip that the strategy names always has its chance.

    Mirrors with probability 1/2, then applies one of the other operations (B. Son et
    al., "FYI: Flip Your Images", ECCV 2024, arXiv 2407.08113, as in their program).

    Args:
      strategy: operations joined by "_"; "" = all six.
      image_shape: (h, w, c).

    Returns:
      The augmentation; parameters by name, those of the others under "one".

    Raises:
      InputError: an unknown operation.
    """
    known = operations(image_shape)
    chosen = policy.named_operations(strategy or _ALL, known, "fyi")
    others = {name: op for name, op in chosen.items() if name != "flip"}
    parts = {"flip": chosen["flip"]} if "flip" in chosen else {}
    return policy.chain(parts | ({"one": policy.one_of(others)} if others else {}))


def idc(strategy: str, image_shape: tuple[int, int, int]) -> Augment:
    """DSA's operations, up to four on a batch.

    Flip, then colour, then one of crop, scale and rotate, then cutout: those that the
    strategy names (J.-H. Kim et al., ICML 2022, arXiv 2205.14959, and their code
    snu-mllab/Efficient-Dataset-Condensation).

    Args:
      strategy: operations joined by "_"; "" = all six.
      image_shape: (h, w, c).

    Returns:
      The augmentation; parameters by name, those of the three under "one".

    Raises:
      InputError: an unknown operation.
    """
    known = operations(image_shape)
    chosen = policy.named_operations(strategy or _ALL, known, "idc")
    one = {n: op for n, op in chosen.items() if n not in ("flip", "color", "cutout")}
    parts = chosen | ({"one": policy.one_of(one)} if one else {})
    order = ("flip", "color", "one", "cutout")
    return policy.chain({name: parts[name] for name in order if name in parts})


def operations(image_shape: tuple[int, int, int]) -> dict[str, Augment]:
    """The six operations by name, for images (h, w, c).

    Crop shifts by up to an eighth of a side, cutout clears half of each side.
    """
    height, width, _ = image_shape
    pads = int(_PAD * height + 0.5), int(_PAD * width + 0.5)
    return {
        "color": _colour(),
        "crop": geometry.crop(pads),
        "cutout": _cutout(height, width),
        "flip": geometry.flip(),
        "scale": _scale(),
        "rotate": _rotate(),
    }


def _colour() -> Augment:
    """Brightness, then saturation, then contrast, without clipping.

    Saturation scales what differs from the mean of a pixel's channels (on grey images
    nothing does), contrast what differs from the image's mean.
    """
    ranges = {
        "brightness": (-0.5, 0.5),
        "saturation": (0.0, 2.0),
        "contrast": (0.5, 1.5),
    }

    def sample(key: Key, n: int) -> PyTree:
        keys = jax.random.split(key, len(ranges))
        return {
            name: jax.random.uniform(k, (n,), minval=low, maxval=high)
            for k, (name, (low, high)) in zip(keys, ranges.items(), strict=True)
        }

    def apply(params: PyTree, image: Array) -> Array:
        value = {
            k: v[:, None, None, None].astype(image.dtype) for k, v in params.items()
        }
        image = image + value["brightness"]
        mean = image.mean(-1, keepdims=True)
        image = (image - mean) * value["saturation"] + mean
        mean = image.mean((1, 2, 3), keepdims=True)
        return (image - mean) * value["contrast"] + mean

    return Augment(sample, apply)


def _cutout(height: int, width: int) -> Augment:
    """Zeroes a box of half the sides around a uniform place, clipped to the image.

    Parameters: int [n,2], the middle (row, column); for a box of k pixels it covers
    middle - k//2 to middle - k//2 + k - 1.
    """
    size = int(_CUT * height + 0.5), int(_CUT * width + 0.5)
    ends = [side + 1 - cut % 2 for side, cut in zip((height, width), size, strict=True)]

    def sample(key: Key, n: int) -> Array:
        return jax.random.randint(key, (n, 2), 0, jnp.array([ends]))

    def apply(middle: Array, image: Array) -> Array:
        half = jnp.array([[size[0] // 2, size[1] // 2]])
        return geometry.cleared(image, middle - half, size)

    return Augment(sample, apply)


def _scale() -> Augment:
    """Stretches each axis by its own factor about the centre, bilinear.

    Parameters: [n,2], steps in the input per output pixel (rows, columns), uniform in
    [1/1.2, 1.2]; below 1 enlarges.
    """

    def sample(key: Key, n: int) -> Array:
        return jax.random.uniform(key, (n, 2), minval=1 / _ZOOM, maxval=_ZOOM)

    def apply(step: Array, image: Array) -> Array:
        def source(axis: int) -> Array:
            size = image.shape[axis + 1]
            place = jnp.arange(size, dtype=step.dtype)[None] - (size - 1) / 2
            return (size - 1) / 2 + step[:, axis, None] * place

        return affine.resample(image, source(0), source(1))

    return Augment(sample, apply)


def _rotate() -> Augment:
    """Rotates by up to 15 degrees, bilinear. Parameters: radians [n]."""

    def sample(key: Key, n: int) -> Array:
        return jax.random.uniform(key, (n,), minval=-_ANGLE, maxval=_ANGLE)

    return Augment(sample, lambda angle, image: affine.rotate(image, angle))
