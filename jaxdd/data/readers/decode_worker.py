"""Decodes images in a process of its own: encoded bytes in, pixels out.

Run as a script by `jaxdd.data.readers.decode`, so that a worker starts without JAX and
without importing the user's program. Speaks over its standard streams: a batch of
images is one message, and so is the answer.
"""

import io
import json
import struct
import sys
import warnings
from typing import Any, BinaryIO

from PIL import Image, ImageOps

__all__ = ["decode_one", "main"]

_PIXELS = 200_000_000  # of one image; beyond it is taken for a decompression bomb
_FORMATS = ("JPEG", "PNG", "WEBP")


def decode_one(data: bytes, side: int | None, mode: str) -> Image.Image:
    """One image, upright, grey ("L") or colour ("RGB"); a square if `side` is given.

    Transparent pixels become white. Images stay in their own size without `side`.

    Args:
      data: an encoded image.
      side: pixels of the square, or None.
      mode: crop (scale the shorter side, keep the centre) or stretch.

    Raises:
      Exception: of any kind, if the data is no whole image.
    """
    image = Image.open(io.BytesIO(data), formats=_FORMATS)
    if side is not None and image.format == "JPEG":
        # Decodes at a fraction of the size, never below twice what is wanted.
        image.draft(None, (2 * side, 2 * side))
    image.load()
    if image.getexif().get(0x0112, 1) != 1:  # a camera held upright
        image = ImageOps.exif_transpose(image)
    image = _plain(image)
    if side is None or image.size == (side, side):
        return image
    if mode == "stretch":
        return image.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=3.0)
    return ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)


def _plain(image: Image.Image) -> Image.Image:
    """8-bit grey or colour."""
    if image.mode in ("L", "RGB"):
        return image
    if image.mode.startswith("I"):  # 16-bit grey
        return image.point(lambda value: value / 257).convert("L")
    if image.mode == "1":
        return image.convert("L")
    if "A" in image.mode or "transparency" in image.info:
        colour = image.convert("RGBA")
        white = Image.new("RGBA", colour.size, (255, 255, 255, 255))
        flat = Image.alpha_composite(white, colour).convert("RGB")
        return flat.convert("L") if image.mode in ("LA", "La") else flat
    return image.convert("RGB")


def main(source: BinaryIO, sink: BinaryIO, side: int | None, mode: str) -> None:
    """Answers batches until the stream ends.

    A batch is the number of images, their lengths in bytes, and the bytes. An answer is
    the length of a JSON list and that list, one [h,w,c] or message for each image, and
    then the pixels of the good ones one after another.
    """
    warnings.simplefilter("error")  # a suspicious image is a bad image
    Image.MAX_IMAGE_PIXELS = _PIXELS
    while head := source.read(4):
        (count,) = struct.unpack("<I", head)
        lengths = struct.unpack(f"<{count}Q", source.read(8 * count))
        heads: list[Any] = []
        pixels: list[bytes] = []
        for length in lengths:
            data = source.read(length)
            try:
                image = decode_one(data, side, mode)
            except Exception as error:
                heads.append(f"{type(error).__name__}: {error}")
                continue
            heads.append([image.height, image.width, len(image.getbands())])
            pixels.append(image.tobytes())
        text = json.dumps(heads).encode()
        sink.write(b"".join([struct.pack("<I", len(text)), text, *pixels]))
        sink.flush()


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    main(sys.stdin.buffer, sys.stdout.buffer, *asked)
