"""Street View House Numbers, cropped digits: `train_32x32.mat` and `test_32x32.mat`.

MATLAB 5 files (Netzer et al., 2011) with X uint8 [32,32,3,n] and y [n,1], where the
label 10 stands for the digit 0.
"""

from pathlib import Path

import numpy as np

from jaxdd.data.readers import matlab
from jaxdd.data.source import Arrays, Progress
from jaxdd.errors import InputError
from jaxdd.records import DataSpec

__all__ = ["BESIDE", "read"]

BESIDE = ("test_32x32.mat",)
"""What `read` opens beside the training file (`Form.beside`)."""


def read(path: Path, spec: DataSpec, progress: Progress) -> Arrays:
    """Reads the training file and the test file beside it.

    Returns:
      x_train, x_test uint8 [n,32,32,3], y_train, y_test int32 [n] (the digits).

    Raises:
      InputError: a file is missing or damaged, or does not hold images and labels.
    """
    path = Path(path)
    test = path.with_name(BESIDE[0])
    if not test.is_file():
        raise InputError(f"{test} does not exist; {path.name} needs it beside it")
    arrays = {}
    with progress(f"{spec.name}: MATLAB files", 2, "file") as advance:
        for split, file in (("train", path), ("test", test)):
            arrays[f"x_{split}"], arrays[f"y_{split}"] = _read_file(file)
            advance(1)
    return arrays


def _read_file(path: Path) -> tuple[np.ndarray, np.ndarray]:
    content = matlab.read(path, ("X", "y"))
    image, label = content.get("X"), content.get("y")
    if image is None or label is None:
        raise InputError(f"{path} lacks X or y; it is no file of this data set")
    if image.dtype != np.uint8 or image.shape[:3] != (32, 32, 3) or image.ndim != 4:
        raise InputError(
            f"{path}: X is {image.dtype} {list(image.shape)}, wanted is uint8 "
            "[32,32,3,n]"
        )
    count = image.shape[3]
    if not count or label.shape != (count, 1) or label.dtype.kind not in "iuf":
        raise InputError(
            f"{path}: y is {label.dtype} {list(label.shape)}, one number for each of "
            f"the {count} images is wanted"
        )
    digits = label[:, 0].astype(np.float64)
    wrong = ~np.isin(digits, np.arange(1, 11))
    if wrong.any():
        raise InputError(
            f"{path} is damaged: label {int(wrong.argmax())} is "
            f"{digits[wrong.argmax()]:g}, allowed are 1 to 10. Download it again"
        )
    pixels = np.ascontiguousarray(image.transpose(3, 0, 1, 2))
    return pixels, digits.astype(np.int32) % 10
