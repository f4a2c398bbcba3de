"""Learning with every image's mirror image beside it, and storing the image alone."""

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Assets, Decoder, Key, PyTree, Synthetic

__all__ = ["flip"]


def flip(decoder: Decoder) -> Decoder:
    """A set of m images as 2m: row 2i is image i, row 2i+1 its left-right mirror image.

    Targets and weights are repeated, so that an order by classes stays one. The
    gradient of an image is that of its own row plus the mirrored one of the other
    (B. Son et al., "FYI: Flip Your Images for Dataset Distillation", ECCV 2024, arXiv
    2407.08113). Parameters, storage and the exported set are those of `decoder`. Not
    for data whose mirror images are of another class, such as digits.

    Args:
      decoder: what is learned.

    Returns:
      The decoder; its `rows` count the 2m rows.
    """

    def decode(
        params: PyTree, assets: Assets, key: Key, rows: Array | None = None
    ) -> Synthetic:
        if rows is not None:
            some = decoder.decode(params, assets, key, rows // 2)
            return some._replace(image=_mirrored(some.image, rows % 2 == 1))
        whole = decoder.decode(params, assets, key)
        twice = lambda part: jnp.repeat(part, 2, axis=0)
        image = jnp.stack([whole.image, whole.image[:, :, ::-1]], axis=1)
        return Synthetic(
            image=image.reshape(-1, *whole.image.shape[1:]),
            target=twice(whole.target),
            weight=twice(whole.weight),
            hyper=whole.hyper,
        )

    return decoder._replace(decode=decode, export=decoder.export or decoder.decode)


def _mirrored(image: Array, which: Array) -> Array:
    """Images [n,h,w,c], those of `which` [n] mirrored."""
    chosen = jax.lax.expand_dims(which, (1, 2, 3))
    return jnp.where(chosen, image[:, :, ::-1], image)
