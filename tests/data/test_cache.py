"""The decode cache: hit, miss, damage, and a disk that is full."""

import errno
import os

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import files
from jaxdd.data.cache import cached
from jaxdd.errors import InputError

ARRAYS = {
    "x": np.arange(2000).astype(np.uint8).reshape(20, 100),
    "y": np.ones(3),
    "half": np.asarray(jnp.linspace(0, 1, 4, dtype=jnp.bfloat16)),
}


class _Decode:
    """Counts how often it is asked."""

    count = 0

    def __call__(self):
        self.count += 1
        return dict(ARRAYS)


@pytest.fixture
def decode():
    return _Decode()


def _check(arrays):
    assert arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_cached_decodes_once_per_key(tmp_path, decode):
    for _ in range(3):
        _check(cached(tmp_path / "cache", "a", decode))
    assert decode.count == 1
    _check(cached(tmp_path / "cache", "b", decode))
    assert decode.count == 2
    _check(cached(None, "a", decode))
    assert decode.count == 3
    assert sorted(os.listdir(tmp_path / "cache")) == ["a.npz", "b.npz"]


def test_damaged_entries_are_built_again(tmp_path, decode):
    path = tmp_path / "a.npz"
    cached(tmp_path, "a", decode)
    whole = path.read_bytes()
    swapped = {**ARRAYS, "x": ARRAYS["x"][::-1]}
    np.savez(tmp_path / "other.npz", **swapped, digest="of something else")
    np.savez(tmp_path / "plain.npz", **swapped)
    for content in (
        b"",
        whole[: len(whole) // 2],
        whole[:500] + b"\x00\xff" + whole[502:],
        (tmp_path / "other.npz").read_bytes(),
        (tmp_path / "plain.npz").read_bytes(),
    ):
        path.write_bytes(content)
        before = decode.count
        _check(cached(tmp_path, "a", decode))
        assert decode.count == before + 1
        assert path.read_bytes() == whole


def test_a_full_disk_is_named_and_leaves_nothing(tmp_path, decode, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.np, "savez", full)
    with pytest.raises(InputError, match=r"cannot write .*a\.npz: No space left"):
        cached(tmp_path, "a", decode)
    assert os.listdir(tmp_path) == []
