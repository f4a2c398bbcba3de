"""Any .npz file with the arrays that MNIST's `mnist.npz` made customary."""

from pathlib import Path

from jaxdd import files
from jaxdd.data.source import Arrays, Progress
from jaxdd.data.split import hold_out
from jaxdd.records import DataSpec

__all__ = ["ARRAYS", "read"]

ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def read(path: Path, spec: DataSpec, progress: Progress) -> Arrays:
    """Reads x_train y_train x_test y_test from a file, as a `Form` does.

    Where the file says that it is an exported set (`jaxdd.exchange`), it has no test
    arrays, and a share is held out as with image folders; other arrays are not read.

    Raises:
      InputError: the file is missing or damaged, or lacks an array.
    """
    with progress(f"{spec.name}: {path.name}", 1, "file") as advance:
        names = set(files.npz_names(path))
        exported = "jaxdd_set" in names
        wanted = ARRAYS[:2] if exported and "y_train" in names else ARRAYS[:1]
        arrays = files.read_npz(path, wanted if exported else ARRAYS)
        if exported and "class_names" in names:
            arrays |= files.read_npz(path, ("class_names",))
        advance(1)
    return hold_out(arrays, spec, str(path)) if exported else arrays
