"""The embedded data: scikit-learn's 1,797 real 8x8 digits, no download."""

import importlib.metadata

import numpy as np

from jaxdd import files

__all__ = ["fingerprint", "read"]

_TEST = 450  # a quarter


def read() -> dict[str, np.ndarray]:
    """Reads the digits with a fixed, stratified split of 1,347 and 450 images.

    Returns:
      x_train, x_test uint8 [n,8,8] (0..16 stretched to 0..255), y_train, y_test [n].
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    image, label = load_digits(return_X_y=True)
    pixels = np.floor(image.reshape(-1, 8, 8) * (255 / 16) + 0.5).astype(np.uint8)
    parts = train_test_split(
        pixels, label.astype(np.int32), test_size=_TEST, stratify=label, random_state=0
    )
    names = ("x_train", "x_test", "y_train", "y_test")
    return {name: np.asarray(part) for name, part in zip(names, parts, strict=True)}


def fingerprint() -> str:
    """Names the content without reading it: importing scikit-learn takes seconds."""
    return files.sha256("digits", importlib.metadata.version("scikit-learn"))
