"""Brings decoded images to another size, as the decoder of image files does."""

import numpy as np

from jaxdd.data.source import Arrays
from jaxdd.records import DataSpec

__all__ = ["convert", "resize_all"]


def convert(image: np.ndarray, channels: int | None) -> np.ndarray:
    """uint8 [n,h,w,c] in grey (1) or colour (3), by the luma of ITU-R 601-2."""
    if channels is None or image.shape[3] == channels:
        return image
    if channels == 3:
        return np.repeat(image, 3, axis=3)
    weights = np.array([299, 587, 114], np.uint32)
    luma = (image[..., :3].astype(np.uint32) * weights).sum(3, keepdims=True)
    return ((luma + 500) // 1000).astype(np.uint8)


def resize_all(arrays: Arrays, spec: DataSpec) -> Arrays:
    """The arrays with their images as squares of `spec.resize` pixels.

    Args:
      arrays: x_train and maybe x_test, uint8 [n,h,w] or [n,h,w,c] with c 1 or 3.
      spec: the side and whether to crop or stretch.
    """
    side = spec.resize
    if side is None:
        return arrays
    splits = ("x_train", "x_test")
    return {
        name: _resize(value, side, spec.resize_mode) if name in splits else value
        for name, value in arrays.items()
    }


def _resize(image: np.ndarray, side: int, mode: str) -> np.ndarray:
    from PIL import Image, ImageOps

    if image.shape[1:3] == (side, side):
        return image
    result = np.empty((len(image), side, side, *image.shape[3:]), np.uint8)
    bicubic = Image.Resampling.BICUBIC
    for row, pixels in enumerate(image):
        picture = Image.fromarray(
            pixels.squeeze(-1) if pixels.shape[-1:] == (1,) else pixels
        )
        small = (
            picture.resize((side, side), bicubic)
            if mode == "stretch"
            else ImageOps.fit(picture, (side, side), bicubic)
        )
        result[row] = np.asarray(small).reshape(result.shape[1:])
    return result
