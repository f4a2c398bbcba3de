"""The embedded digits: what is read, and that the split never moves."""

import numpy as np
from sklearn.datasets import load_digits

from jaxdd.data import digits
from jaxdd.data.load import load
from jaxdd.records import DataSpec


def test_digits_are_all_there_once():
    arrays = digits.read()
    assert arrays["x_train"].shape == (1347, 8, 8)
    assert arrays["x_test"].shape == (450, 8, 8)
    assert arrays["x_train"].dtype == np.uint8
    both = np.concatenate([arrays["x_train"], arrays["x_test"]]).reshape(-1, 64)
    original = load_digits().data
    back = np.rint(both / 255 * 16)
    assert sorted(map(bytes, back.astype(np.uint8))) == sorted(
        map(bytes, original.astype(np.uint8))
    )
    assert both.max() == 255


def test_digits_split_is_stratified_and_pinned():
    data = load(DataSpec("digits"))
    assert data.test is not None
    assert data.train.num_classes == 10
    share = np.asarray(data.test.class_count) / (
        np.asarray(data.test.class_count) + np.asarray(data.train.class_count)
    )
    assert np.abs(share - 0.25).max() < 0.01
    # Results of different versions compare only while this stays as it is.
    assert data.train.hash[:16] == "ac5d48e05d8d2039"
    assert data.test.hash[:16] == "63d117807d6608b0"
