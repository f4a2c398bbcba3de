"""Files appear whole or not at all, and damaged ones are refused by name."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import files
from jaxdd.errors import InputError


def _full_disk(handle):
    handle.write(b"half of it")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_write_atomic_creates_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b.bin"
    files.write_atomic(path, lambda handle: handle.write(b"one"))
    files.write_atomic(path, lambda handle: handle.write(b"two"))
    assert path.read_bytes() == b"two"
    assert _names(path.parent) == ["b.bin"]


def test_write_atomic_on_a_full_disk_keeps_the_old_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(InputError, match=r"a\.bin: No space left"):
        files.write_atomic(path, _full_disk)
    assert path.read_bytes() == b"old"
    assert _names(tmp_path) == ["a.bin"]


def test_write_atomic_leaves_nothing_after_a_bug(tmp_path):
    with pytest.raises(ZeroDivisionError):
        files.write_atomic(tmp_path / "a.bin", lambda handle: 1 / 0)
    assert _names(tmp_path) == []


def test_write_atomic_where_the_system_refuses(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="cannot write"):
        files.write_atomic(tmp_path / "file" / "a.bin", lambda handle: None)

    def read_only(*_):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "replace", read_only)
    with pytest.raises(InputError, match="Read-only file system"):
        files.write_atomic(tmp_path / "a.bin", lambda handle: None)
    assert _names(tmp_path) == ["file"]


def test_write_atomic_killed_while_writing(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    program = (
        "import os, signal; from pathlib import Path; from jaxdd import files\n"
        "def writer(handle):\n"
        "    handle.write(b'half'); handle.flush(); os.kill(os.getpid(), 9)\n"
        f"files.write_atomic(Path({str(path)!r}), writer)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == -9
    assert path.read_bytes() == b"old"
    (left,) = tmp_path.glob("*.tmp")
    files.write_atomic(path, lambda handle: handle.write(b"new"))
    assert left.exists()  # it might belong to a process that is still writing
    os.utime(left, (time.time() - 2 * 86400,) * 2)
    files.write_atomic(path, lambda handle: handle.write(b"new"))
    assert _names(tmp_path) == ["a.bin"]


def test_atomic_folder_appears_and_replaces(tmp_path):
    path = tmp_path / "set"
    for text in ("one", "two"):
        with files.atomic_folder(path) as folder:
            (folder / text).write_text(text)
            assert not (path / text).exists()
    assert _names(path) == ["two"]
    assert _names(tmp_path) == ["set"]


def test_atomic_folder_keeps_the_old_one_on_failure(tmp_path, monkeypatch):
    path = tmp_path / "set"
    with files.atomic_folder(path) as folder:
        (folder / "old").write_text("old")
    with (
        pytest.raises(InputError, match="No space left"),
        files.atomic_folder(path) as folder,
        (folder / "new").open("wb") as handle,
    ):
        _full_disk(handle)
    real, calls = os.rename, []

    def second_fails(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(InputError), files.atomic_folder(path) as folder:
        (folder / "new").write_text("new")
    assert len(calls) == 3
    assert _names(path) == ["old"]
    assert _names(tmp_path) == ["set"]


def test_json_round_trip_and_damage(tmp_path):
    path = tmp_path / "a.json"
    value = {
        "name": "ä",
        "rows": [1, 2.5, None],
        "array": np.arange(3),
        "x": jnp.ones(()),
    }
    files.write_json(path, value)
    assert files.read_json(path) == {**value, "array": [0, 1, 2], "x": 1.0}
    with pytest.raises(TypeError, match="does not fit"):
        files.write_json(path, {"key": object()})
    path.write_text(path.read_text()[:-10])
    with pytest.raises(InputError, match=r"a\.json cannot be read"):
        files.read_json(path)
    with pytest.raises(InputError, match="does not exist"):
        files.read_json(tmp_path / "b.json")


def test_npz_round_trip(tmp_path):
    arrays = {
        "a/b": np.arange(6, dtype=np.uint8).reshape(2, 3),
        "half": jnp.linspace(0, 1, 5, dtype=jnp.bfloat16),
        "half_scalar": jnp.asarray(2, jnp.bfloat16),
        "empty": np.zeros((0, 3), np.float32),
        "scalar": np.float64(2),
        "text": np.asarray(["cat", "dog"]),
    }
    files.write_npz(tmp_path / "a.npz", **arrays)
    read = files.read_npz(tmp_path / "a.npz")
    assert list(read) == list(arrays)
    for name, array in arrays.items():
        assert read[name].dtype == np.asarray(array).dtype
        assert read[name].shape == np.shape(array)
        np.testing.assert_array_equal(read[name], np.asarray(array))
    files.write_npz(tmp_path / "b.npz", **arrays)
    assert files.hash_file(tmp_path / "a.npz") == files.hash_file(tmp_path / "b.npz")


def test_npz_names_what_is_missing(tmp_path):
    files.write_npz(tmp_path / "a.npz", x_train=np.zeros(2), other=np.zeros(2))
    assert list(files.read_npz(tmp_path / "a.npz", ["x_train"])) == ["x_train"]
    with pytest.raises(InputError, match="has no array y_train, x_test") as caught:
        files.read_npz(tmp_path / "a.npz", ["x_train", "y_train", "x_test"])
    assert "holds x_train, other" in str(caught.value)


def test_npz_never_loads_objects(tmp_path):
    objects = np.asarray([{}, 1], dtype=object)
    with pytest.raises(TypeError, match="'a' holds Python objects"):
        files.write_npz(tmp_path / "a.npz", a=objects)
    np.savez(tmp_path / "a.npz", a=objects, b=np.zeros(2))
    with pytest.raises(
        InputError, match="array a holds Python objects, which are never"
    ):
        files.read_npz(tmp_path / "a.npz")
    assert list(files.read_npz(tmp_path / "a.npz", ["b"])) == ["b"]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_truncated_anywhere(tmp_path, save):
    path = tmp_path / "a.npz"
    save(path, x=np.arange(300), y=np.ones(7))
    whole = path.read_bytes()
    for length in range(0, len(whole), max(len(whole) // 60, 1)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"a\.npz"):
            files.read_npz(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_with_damaged_bytes_is_refused_or_unharmed(tmp_path, save):
    path = tmp_path / "a.npz"
    arrays = {"x": np.arange(300), "y": np.ones(7)}
    save(path, **arrays)
    whole, refused = path.read_bytes(), 0
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 400):
        damaged = bytearray(whole)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            read = files.read_npz(path, ["x", "y"])
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017
            refused += 1
        else:
            for name, array in arrays.items():
                np.testing.assert_array_equal(read[name], array)
    assert refused > 200


def test_npz_that_is_none(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(2))
    (tmp_path / "a.npz").write_text("<html>not found</html>")
    for path in (tmp_path / "a.npy", tmp_path / "a.npz", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            files.read_npz(path)
    with pytest.raises(InputError, match=r"b\.npz does not exist"):
        files.read_npz(tmp_path / "b.npz")


def test_sha256_sees_type_shape_and_borders():
    array = np.arange(6, dtype=np.int32)
    chunks = [
        (array,),
        (array.reshape(2, 3),),
        (array.astype(np.int16),),
        (array[:3], array[3:]),
        (array.tobytes(),),
        ("ab", "c"),
        ("a", "bc"),
        (b"ab", "c"),
        (),
    ]
    assert len({files.sha256(*chunk) for chunk in chunks}) == len(chunks)
    assert files.sha256(array[::2]) == files.sha256(jnp.asarray([0, 2, 4], jnp.int32))
    assert files.sha256(np.float32(1)) == files.sha256(np.ones((), np.float32))
    assert len(files.sha256(np.zeros((0, 2)))) == 64
