"""Enumerable views: all crops of a zero-padded image, times the left-right flip.

They act on [0,1] pixels before whitening. Being enumerable, a teacher's outputs over
them can be computed once and looked up by (view, row).
"""

import jax
import jax.numpy as jnp

from jaxdd.base import Array
from jaxdd.records import Views

__all__ = ["apply_view"]


def apply_view(image: Array, view: Array, views: Views) -> Array:
    """Applies one numbered view to each image.

    With p = views.crop, view = flip * (2p+1)^2 + dy * (2p+1) + dx: the image is padded
    by p zeros on each side, cropped back at row dy and column dx, then mirrored.
    `views.identity` (dy = dx = p, no flip) leaves it unchanged.

    Args:
      image: [n,h,w,c].
      view: int [n], each in [0, views.count).
      views: the set of views.

    Returns:
      [n,h,w,c].
    """
    if views.count == 1:
        return image
    p, side = views.crop, 2 * views.crop + 1
    flip, offset = jnp.divmod(view, side * side)
    dy, dx = jnp.divmod(offset, side)
    padded = jnp.pad(image, ((0, 0), (p, p), (p, p), (0, 0)))

    def crop(row: Array, top: Array, left: Array) -> Array:
        return jax.lax.dynamic_slice(row, (top, left, 0), image.shape[1:])

    shifted = jax.vmap(crop)(padded, dy, dx) if p else image
    if not views.flip:
        return shifted
    return jnp.where(flip[:, None, None, None] == 1, shifted[:, :, ::-1], shifted)
