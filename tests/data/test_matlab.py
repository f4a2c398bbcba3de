"""MATLAB files as SciPy writes them, and what damage does to them."""

import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from scipy.io import loadmat, savemat

from jaxdd.data.readers import matlab
from jaxdd.errors import InputError
from tests.data.damage import damages

KINDS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8")


def toy_content():
    rng = np.random.default_rng(0)
    content = {
        f"{kind}_array": rng.integers(0, 100, (3, 4, 5)).astype(kind) for kind in KINDS
    }
    content["one"] = np.array([[7]], np.uint8)
    content["none"] = np.zeros((0, 3))
    return content


@pytest.mark.parametrize("compress", [True, False])
def test_every_kind_of_number_is_read_as_scipy_does(tmp_path, compress):
    path, content = tmp_path / "a.mat", toy_content()
    other = {"text": "abc", "record": {"a": 1}, "cells": np.array([1, "b"], object)}
    savemat(path, other | content | {"z": np.array([1j])}, do_compression=compress)
    found = matlab.read(path, content)
    assert list(found) == list(content)
    for name, array in loadmat(path, variable_names=list(content)).items():
        if name in content:
            assert found[name].dtype == array.dtype
            np.testing.assert_array_equal(found[name], array)


def test_big_endian_files_are_read(tmp_path):
    path = tmp_path / "a.mat"
    flags = struct.pack(">4I", 6, 8, 6, 0)  # class double, stored as int16
    shape = struct.pack(">2I2i", 5, 8, 2, 1)
    name = struct.pack(">I", 1 << 16 | 1) + b"y\0\0\0"
    values = struct.pack(">I2h", 4 << 16 | 3, -5, 300)
    body = flags + shape + name + values
    head = b" " * 124 + b"\x01\x00MI"
    path.write_bytes(head + struct.pack(">2I", 14, len(body)) + body)
    found = matlab.read(path, ["y"])["y"]
    np.testing.assert_array_equal(found, [[-5.0], [300.0]])
    assert found.dtype == np.float64


@pytest.mark.parametrize("value", ["text", {"a": 1}, np.array([1j])])
def test_what_is_no_array_of_numbers_is_refused(tmp_path, value):
    path = tmp_path / "a.mat"
    savemat(path, {"y": value})
    with pytest.raises(InputError, match=r"y is no array of real numbers"):
        matlab.read(path, ["y"])
    assert matlab.read(path, ["x"]) == {}


def test_a_packed_bomb_is_not_unpacked(tmp_path):
    import zlib

    path = tmp_path / "a.mat"
    for announced, message in ((2**31 + 8, "announces"), (16, "another size")):
        packed = zlib.compress(struct.pack("<2I", 14, announced) + bytes(2**24))
        element = struct.pack("<2I", 15, len(packed)) + packed
        path.write_bytes(b" " * 124 + b"\x00\x01IM" + element)
        with pytest.raises(InputError, match=message):
            matlab.read(path, ["y"])


def test_no_matlab_file(tmp_path):
    path = tmp_path / "a.mat"
    with pytest.raises(InputError, match=re.escape(f"{path} does not exist")):
        matlab.read(path, ["y"])
    for content in (b"", b"<html>" * 50, b"\x89HDF\r\n\x1a\n" + bytes(200)):
        path.write_bytes(content)
        with pytest.raises(InputError, match="does not start as a MATLAB 5 file"):
            matlab.read(path, ["y"])
    with pytest.raises(InputError, match="cannot be read"):
        matlab.read(tmp_path, ["y"])


@pytest.fixture(scope="module", params=[True, False])
def matlab_file(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("mat") / "a.mat"
    savemat(path, toy_content(), do_compression=request.param)
    return path, path.read_bytes()


@settings(deadline=None, max_examples=100)
@given(damage=damages())
def test_any_damaged_matlab_file_reads_or_is_refused(matlab_file, damage):
    path, whole = matlab_file
    path.write_bytes(damage(whole))
    try:
        arrays, message = matlab.read(path, toy_content()), str(path)
    except InputError as error:
        arrays, message = {}, str(error)
    assert str(path) in message
    assert all(array.dtype.kind in "iuf" for array in arrays.values())
