"""Any .npz file with the four arrays that MNIST's `mnist.npz` made customary."""

from pathlib import Path

import numpy as np

from jaxdd import files

__all__ = ["ARRAYS", "read"]

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def read(path: Path) -> dict[str, np.ndarray]:
    """Reads x_train y_train x_test y_test from a file.

    Raises:
      InputError: the file is missing or damaged, or lacks an array.
    """
    return files.read_npz(path, ARRAYS)
