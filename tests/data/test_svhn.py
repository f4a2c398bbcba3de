"""SVHN's MATLAB files, whole and damaged."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.io import savemat

from jaxdd.data.readers import svhn
from jaxdd.data.source import silent
from jaxdd.errors import InputError
from jaxdd.records import DataSpec
from tests.data.damage import damages, read_or_refused, recorder

SPEC = DataSpec("svhn")


def split(seed, count):
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(count) % 10)
    return rng.integers(0, 256, (count, 32, 32, 3)).astype(np.uint8), label


def write(path, image, label, compress=True, **changes):
    ten = np.where(label == 0, 10, label)[:, None].astype(np.uint8)
    content = {"X": image.transpose(1, 2, 3, 0), "y": ten} | changes
    content = {name: value for name, value in content.items() if value is not None}
    savemat(path, content, do_compression=compress)
    return path


@pytest.fixture
def folder(tmp_path):
    write(tmp_path / "train_32x32.mat", *split(0, 12))
    write(tmp_path / "test_32x32.mat", *split(1, 11))
    return tmp_path


@pytest.mark.parametrize("compress", [True, False])
def test_svhn_round_trip(tmp_path, compress):
    train, test = split(0, 12), split(1, 11)
    path = write(tmp_path / "train_32x32.mat", *train, compress)
    write(tmp_path / "test_32x32.mat", *test, compress)
    progress, seen = recorder()
    found = svhn.read(path, SPEC, progress)
    for name, array in zip(
        ("x_train", "y_train", "x_test", "y_test"), (*train, *test), strict=True
    ):
        np.testing.assert_array_equal(found[name], array)
    assert found["x_train"].dtype == np.uint8
    assert found["y_train"].dtype == np.int32
    assert seen == [("svhn: MATLAB files", 2, "file", 2)]


@pytest.mark.parametrize("name", ["train_32x32.mat", "test_32x32.mat"])
def test_a_missing_svhn_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=re.escape(f"{folder / name} does not exist")):
        svhn.read(folder / "train_32x32.mat", SPEC, silent)


IMAGE, LABEL = split(0, 12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"X": None}, "lacks X or y"),
        ({"y": None}, "lacks X or y"),
        ({"X": np.zeros((32, 32, 3, 12))}, "X is float64 [32, 32, 3, 12]"),
        ({"X": np.zeros((28, 32, 3, 12), np.uint8)}, "X is uint8 [28, 32, 3, 12]"),
        ({"X": np.zeros((32, 32, 3), np.uint8)}, "X is uint8 [32, 32, 3]"),
        ({"X": "text"}, "X is no array of real numbers"),
        ({"y": np.ones((11, 1), np.uint8)}, "y is uint8 [11, 1], one number for each"),
        ({"y": np.ones((12, 2), np.uint8)}, "y is uint8 [12, 2], one number for each"),
        ({"y": np.array([["a"]] * 12, object)}, "y is no array of real numbers"),
        ({"y": np.zeros((12, 1), np.uint8)}, "label 0 is 0, allowed are 1 to 10"),
        ({"y": np.full((12, 1), 11, np.uint8)}, "label 0 is 11, allowed are 1 to 10"),
        ({"y": np.full((12, 1), 1.5)}, "label 0 is 1.5, allowed are 1 to 10"),
        ({"y": np.full((12, 1), np.nan)}, "label 0 is nan, allowed are 1 to 10"),
    ],
)
def test_wrong_svhn_arrays_are_refused(folder, changes, message):
    path = write(folder / "train_32x32.mat", IMAGE, LABEL, **changes)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        svhn.read(path, SPEC, silent)
    assert str(path) in str(caught.value)


def test_damaged_svhn_files_are_refused(folder):
    path = folder / "test_32x32.mat"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 16
    newer = whole[:124] + b"\x00\x02" + whole[126:]  # version 7.3 is HDF5
    for content in (b"", whole[:50], whole[:-9], bytes(flipped), newer, b"<html>" * 99):
        path.write_bytes(content)
        with pytest.raises(InputError, match=re.escape(f"{path} cannot be read")):
            svhn.read(folder / "train_32x32.mat", SPEC, silent)


@pytest.fixture(scope="module", params=[True, False])
def svhn_folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("svhn")
    for name, seed in (("train_32x32.mat", 0), ("test_32x32.mat", 1)):
        write(folder / name, *split(seed, 3), request.param)
    return folder


@settings(deadline=None, max_examples=50)
@given(damage=damages())
def test_any_damaged_svhn_file_reads_or_is_refused(svhn_folder, damage):
    train = svhn_folder / "train_32x32.mat"
    path = [train, svhn_folder / "test_32x32.mat"][damage.pick % 2]
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    try:
        read_or_refused(lambda: svhn.read(train, SPEC, silent), svhn_folder, 10)
    finally:
        path.write_bytes(whole)
