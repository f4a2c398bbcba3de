"""Small real image files, in folders and archives, for the tests of readers."""

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP"}


def picture(
    seed: int, size: tuple[int, int] = (8, 8), mode: str = "RGB"
) -> Image.Image:
    """A smooth random image of a size (width, height)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    return image.convert(mode)


def encoded(image: Image.Image, suffix: str = ".png", **options: object) -> bytes:
    """An image as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, FORMATS[suffix], **options)
    return buffer.getvalue()


def class_files(
    classes: int = 3, count: int = 4, prefix: str = "", suffix: str = ".png"
) -> dict[str, bytes]:
    """Files by path: `count` images in each class folder."""
    return {
        f"{prefix}class{c}/{i:02d}{suffix}": encoded(picture(10 * c + i), suffix)
        for c in range(classes)
        for i in range(count)
    }


def write_folder(folder: Path, files: dict[str, bytes]) -> Path:
    """The files on disk."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def write_tar(path: Path, files: dict[str, bytes]) -> Path:
    """The files in a tar archive, packed as the ending says, in reversed order."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in reversed(files.items()):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    path.write_bytes(pack(buffer.getvalue(), path.suffix))
    return path


def pack(data: bytes, suffix: str) -> bytes:
    """Compressed bytes."""
    import bz2
    import gzip
    import lzma

    import zstandard

    packers = {
        ".gz": gzip.compress,
        ".bz2": bz2.compress,
        ".xz": lzma.compress,
        ".zst": zstandard.ZstdCompressor().compress,
    }
    return packers.get(suffix, lambda plain: plain)(data)


def write_zip(path: Path, files: dict[str, bytes]) -> Path:
    """The files in a zip archive."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path
