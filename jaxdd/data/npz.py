"""Any .npz file with the four arrays that MNIST's `mnist.npz` made customary."""

from pathlib import Path

from jaxdd import files
from jaxdd.data.source import Arrays, Progress
from jaxdd.records import DataSpec

__all__ = ["ARRAYS", "read"]

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def read(path: Path, spec: DataSpec, progress: Progress) -> Arrays:
    """Reads x_train y_train x_test y_test from a file, as a `Form` does.

    Raises:
      InputError: the file is missing or damaged, or lacks an array.
    """
    with progress(f"{spec.name}: {path.name}", 1, "file") as advance:
        arrays = files.read_npz(path, ARRAYS)
        advance(1)
    return arrays
