"""MNIST's idx files in every spelling, and every way they can be wrong."""

import gzip
import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings

from jaxdd.data.readers import idx
from jaxdd.data.source import silent
from jaxdd.errors import InputError
from jaxdd.records import DataSpec
from tests.data.damage import damages, read_or_refused, recorder
from tests.helpers import toy_images

SPEC = DataSpec("mnist")
STEMS = {
    "x_train": "train-images",
    "y_train": "train-labels",
    "x_test": "t10k-images",
    "y_test": "t10k-labels",
}


def toy_arrays():
    image, label = toy_images(per_class=3, classes=10)
    image = image[..., 0]
    label = label.astype(np.uint8)
    return {
        "x_train": image[:20],
        "y_train": label[:20],
        "x_test": image[20:],
        "y_test": label[20:],
    }


def encode(array):
    header = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
    return header + array.tobytes()


def write(folder, arrays, mark="-", ending=""):
    """Writes the four files; returns their paths by array."""
    paths = {}
    for name, array in arrays.items():
        path = folder / f"{STEMS[name]}{mark}idx{array.ndim}-ubyte{ending}"
        content = encode(array)
        path.write_bytes(gzip.compress(content) if ending else content)
        paths[name] = path
    return paths


@pytest.mark.parametrize("mark", ["-", "."])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_files_round_trip(tmp_path, mark, ending):
    arrays = toy_arrays()
    paths = write(tmp_path, arrays, mark, ending)
    progress, seen = recorder()
    found = idx.read(paths["x_train"], SPEC, progress)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == np.uint8
    assert seen == [("mnist: idx files", 4, "file", 4)]
    beside = {path for glob in idx.BESIDE for path in tmp_path.glob(glob)}
    assert beside == set(paths.values()) - {paths["x_train"]}


def test_idx_spellings_may_be_mixed(tmp_path):
    arrays = toy_arrays()
    first = write(tmp_path, {"x_train": arrays["x_train"]}, ".", "")["x_train"]
    rest = {name: array for name, array in arrays.items() if name != "x_train"}
    write(tmp_path, rest, "-", ".gz")
    assert len(idx.read(first, SPEC, silent)["x_test"]) == 10


@pytest.mark.parametrize("name", list(STEMS))
def test_a_missing_idx_file_is_named(tmp_path, name):
    paths = write(tmp_path, toy_arrays())
    paths[name].unlink()
    with pytest.raises(InputError, match=f"{paths[name]}.*does not exist"):
        idx.read(paths["x_train"], SPEC, silent)


def _set(content, at, value):
    return content[:at] + value + content[at + len(value) :]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("x_train", lambda c: b"", "ends after 0 bytes, inside its header"),
        ("x_train", lambda c: c[:12], "ends after 12 bytes, inside its header"),
        ("x_test", lambda c: c[:-1], "ends after 639 of 640 values"),
        ("x_test", lambda c: c + b"\0", "longer than the 640 values"),
        ("y_train", lambda c: c[:-3], "ends after 17 of 20 values"),
        ("x_train", lambda c: _set(c, 3, b"\1"), "magic number is 2049, 2051"),
        ("x_train", lambda c: _set(c, 2, b"\x0d"), "magic number is 3331, 2051"),
        ("y_test", lambda c: b"<html>not found</html>", "magic number is 1013478509"),
        ("x_train", lambda c: _set(c, 4, b"\xff"), "are impossible"),
        ("x_train", lambda c: c[:4] + bytes(12), r"(0, 0, 0) are impossible"),
        ("y_train", lambda c: _set(c, 12, b"\x8a"), "label 4 is 138, allowed are 0 to"),
        (
            "y_test",
            lambda c: encode(np.zeros(9, np.uint8)),
            "has 9 labels, t10k-images",
        ),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_wrong_idx_content_is_refused(tmp_path, name, change, message, ending):
    arrays = toy_arrays()
    paths = write(tmp_path, arrays, ending=ending)
    content = change(encode(arrays[name]))
    paths[name].write_bytes(gzip.compress(content) if ending else content)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        idx.read(paths["x_train"], SPEC, silent)
    assert str(paths[name]) in str(caught.value)


def test_damaged_gzip_is_refused(tmp_path):
    paths = write(tmp_path, toy_arrays(), ending=".gz")
    whole = paths["x_train"].read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 16
    for content in (whole[:-5], whole[:40], bytes(flipped), b"", b"plain"):
        paths["x_train"].write_bytes(content)
        with pytest.raises(InputError, match=re.escape(str(paths["x_train"]))):
            idx.read(paths["x_train"], SPEC, silent)


def test_a_gzip_that_announces_too_much_is_not_unpacked(tmp_path):
    paths = write(tmp_path, toy_arrays(), ending=".gz")
    header = struct.pack(">4I", 0x803, 2**20, 2**10, 2**10)
    paths["x_train"].write_bytes(gzip.compress(header + bytes(64)))
    with pytest.raises(InputError, match="impossible"):
        idx.read(paths["x_train"], SPEC, silent)
    small = struct.pack(">4I", 0x803, 2, 4, 4)
    paths["x_train"].write_bytes(gzip.compress(small + bytes(2**26)))
    with pytest.raises(InputError, match="longer than the 32 values"):
        idx.read(paths["x_train"], SPEC, silent)


@pytest.mark.parametrize(
    ("name", "other", "first"),
    [
        ("mnist", "fashion_mnist", [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]),
        ("fashion_mnist", "mnist", [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]),
    ],
)
def test_mnist_and_fashion_mnist_are_told_apart(tmp_path, name, other, first):
    arrays = toy_arrays()
    arrays["y_train"] = np.array(first * 2, np.uint8)
    path = write(tmp_path, arrays)["x_train"]
    assert len(idx.read(path, DataSpec(name), silent)["y_train"]) == 20
    assert len(idx.read(path, DataSpec("kmnist"), silent)["y_train"]) == 20
    with pytest.raises(InputError, match=f"belongs to {name}, not to {other}"):
        idx.read(path, DataSpec(other), silent)


@pytest.fixture(scope="module", params=["", ".gz"])
def idx_folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("idx")
    paths = write(folder, toy_arrays(), ending=request.param)
    return paths, {name: path.read_bytes() for name, path in paths.items()}


@settings(deadline=None, max_examples=50)
@given(damage=damages())
def test_any_damaged_idx_file_reads_or_is_refused(idx_folder, damage):
    paths, contents = idx_folder
    name = list(paths)[damage.pick % 4]
    paths[name].write_bytes(damage(contents[name]))
    try:
        read_or_refused(
            lambda: idx.read(paths["x_train"], SPEC, silent), paths[name].parent, 10
        )
    finally:
        paths[name].write_bytes(contents[name])
