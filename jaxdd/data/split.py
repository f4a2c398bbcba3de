"""Holds out a share of data that comes without a test split."""

import numpy as np

from jaxdd.data.source import Arrays
from jaxdd.errors import InputError
from jaxdd.records import DataSpec

__all__ = ["hold_out"]


def hold_out(arrays: Arrays, spec: DataSpec, where: str) -> Arrays:
    """The arrays with a seeded share of each class moved to the test split.

    At least one image of each class is held out, and never all; the order is kept.

    Args:
      arrays: what a reader found; returned as they are if they have a test split.
      spec: the share (0 holds none out) and the seed.
      where: the source, for messages.

    Raises:
      InputError: a class has a single image.
    """
    if "x_test" in arrays or not spec.test_share:
        return arrays
    image = arrays["x_train"]
    label = arrays.get("y_train", np.zeros(len(image), np.int32))
    test = np.zeros(len(image), bool)
    for c in np.unique(label):
        rows = np.flatnonzero(label == c)
        if len(rows) < 2:
            names = arrays.get("class_names", ())
            name = repr(str(names[c])) if c < len(names) else c
            raise InputError(
                f"{where}: class {name} has one image; at least two are needed, one of"
                " them held out for the test. Add images, give train/ and test/"
                " folders, or hold none out (--data.test-share 0)"
            )
        count = min(max(round(spec.test_share * len(rows)), 1), len(rows) - 1)
        rng = np.random.default_rng([spec.split_seed, int(c)])
        test[rng.permutation(rows)[:count]] = True
    parts = {"x_train": image[~test], "x_test": image[test]}
    if "y_train" in arrays:
        parts |= {"y_train": label[~test], "y_test": label[test]}
    return arrays | parts
