"""Whitened images as the 8-bit pixels that pictures hold, and what that costs."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxdd import whiten
from jaxdd.base import Distilled
from jaxdd.errors import InputError

__all__ = ["Loss", "encode", "to_pixels"]

_ROWS = 256  # un-whitened at a time


class Loss(NamedTuple):
    """What 8-bit pixels lose of a set.

    Attributes:
      clipped: share of the pixels outside of [0,1].
      pixel_error: root mean square of what clipping and rounding change, in [0,1].
      largest: the greatest of these changes.
      set_error: the same change after whitening again, relative to the root mean square
        of the images in the space of networks.
    """

    clipped: float
    pixel_error: float
    largest: float
    set_error: float


def to_pixels(distilled: Distilled) -> tuple[np.ndarray, Loss]:
    """Un-whitens, clips and rounds the images of a set.

    Returns:
      uint8 [m,h,w,c], and what was lost.
    """
    image, whitening = distilled.synthetic.image, distilled.whitening
    parts, sums, largest = [], np.zeros(4), 0.0
    for start in range(0, len(image), _ROWS):
        white = jnp.asarray(image[start : start + _ROWS], jnp.float32)
        unit = np.asarray(whiten.inverse(whitening, white), np.float64)
        rounded = np.rint(np.clip(unit, 0, 1) * 255).astype(np.uint8)
        again = whiten.apply(whitening, whiten.to_unit(jnp.asarray(rounded)))
        change = rounded / 255 - unit
        largest = max(largest, float(np.abs(change).max()))
        outside = ((unit < 0) | (unit > 1)).sum()
        known = np.asarray(white, np.float64)
        moved = np.asarray(again, np.float64) - known
        squares = (np.square(change), np.square(moved), np.square(known))
        sums += [outside, *(part.sum() for part in squares)]
        parts.append(rounded)
    count = float(np.prod(image.shape))
    relative = float(np.sqrt(sums[2] / max(sums[3], 1e-30)))
    loss = Loss(
        float(sums[0] / count), float(np.sqrt(sums[1] / count)), largest, relative
    )
    return np.concatenate(parts), loss


def encode(image: np.ndarray) -> bytes:
    """An image uint8 [h,w,1] or [h,w,3] as PNG.

    Raises:
      InputError: another number of channels.
    """
    import io

    from PIL import Image

    if image.shape[2] not in (1, 3):
        raise InputError(
            f"images of {image.shape[2]} channels are no pictures; export them as npz"
        )
    stream = io.BytesIO()
    pixels = image[..., 0] if image.shape[2] == 1 else image
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return stream.getvalue()
