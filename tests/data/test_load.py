"""Data sets by name, and every way their files can be wrong."""

import re

import numpy as np
import pytest

from jaxdd.data.catalogue import SOURCES
from jaxdd.data.load import load
from jaxdd.data.source import Form
from jaxdd.errors import InputError
from jaxdd.records import DataSpec
from tests.data.pictures import class_files, write_folder
from tests.helpers import toy_images


@pytest.fixture(autouse=True)
def no_data_folder(monkeypatch):
    monkeypatch.delenv("JAXDD_DATA", raising=False)


@pytest.fixture
def arrays():
    image, label = toy_images(per_class=6, classes=10)
    return {"x_train": image, "y_train": label, "x_test": image, "y_test": label}


@pytest.fixture
def mnist_file(tmp_path, arrays):
    np.savez_compressed(tmp_path / "mnist.npz", **arrays)
    return tmp_path / "mnist.npz"


def test_the_folder_the_file_and_the_variable_give_the_same(mnist_file, monkeypatch):
    folder = load(DataSpec("mnist", mnist_file.parent))
    file = load(DataSpec("mnist", mnist_file))
    monkeypatch.setenv("JAXDD_DATA", str(mnist_file.parent))
    variable = load(DataSpec("mnist"))
    assert folder.train.name == file.train.name == variable.train.name == "mnist"
    assert folder.train.hash == file.train.hash == variable.train.hash
    assert folder.train.class_names == tuple("0123456789")
    assert folder.train.image_shape == (8, 8, 1)


def test_any_npz_is_named_by_its_file(tmp_path, arrays):
    path = tmp_path / "cats.npz"
    np.savez(path, **arrays)
    for name in ("npz", "mnist", "digits"):
        data = load(DataSpec(name, path))
        assert data.train.name == "cats"
        assert data.train.class_names == ()
        assert data.train.num_classes == 10


def test_the_embedded_digits_ignore_the_data_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDD_DATA", str(tmp_path))
    assert load(DataSpec("digits", train_limit=20)).train.size == 20
    assert load(DataSpec("digits", tmp_path, train_limit=20)).train.size == 20


def test_the_cache_spares_decoding_and_notices_a_new_file(
    tmp_path, arrays, mnist_file, monkeypatch
):
    spec, cache = DataSpec("mnist", mnist_file), tmp_path / "cache"
    first = load(spec, cache=cache)
    assert len(list(cache.iterdir())) == 1

    def refuse(path, spec, progress):
        raise AssertionError("decoded again")

    row = SOURCES["mnist"]._replace(forms=(Form("mnist.npz", refuse),))
    with monkeypatch.context() as patch:
        patch.setitem(SOURCES, "mnist", row)
        assert load(spec, cache=cache).train.hash == first.train.hash
    np.savez(mnist_file, **{**arrays, "x_train": arrays["x_train"] // 2})
    second = load(spec, cache=cache)
    assert second.train.hash != first.train.hash
    assert len(list(cache.iterdir())) == 2


def test_float_files_are_cached_as_bytes(tmp_path, arrays):
    whole = load(DataSpec("npz", _write(tmp_path / "a.npz", arrays)))
    unit = {n: a / 255 if n.startswith("x") else a for n, a in arrays.items()}
    path = _write(tmp_path / "b.npz", unit)
    for _ in range(2):
        assert (
            load(DataSpec("npz", path), cache=tmp_path).train.hash == whole.train.hash
        )


def _write(path, arrays):
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    ("name", "near"), [("mnits", "mnist"), ("digit", "digits"), ("np", "npz")]
)
def test_an_unknown_name_gets_a_suggestion(name, near):
    with pytest.raises(InputError, match=f"Did you mean '{near}'"):
        load(DataSpec(name))
    with pytest.raises(
        InputError, match=r"unknown\. Choose one of digits, mnist, .*npz"
    ):
        load(DataSpec("zzzzz"))


def test_missing_files_are_named(tmp_path, mnist_file):
    for cache in (None, tmp_path):  # never downloaded in tests: JAXDD_OFFLINE
        with pytest.raises(InputError, match=r"no data.dir \(or JAXDD_DATA\) is given"):
            load(DataSpec("mnist"), cache=cache)
    with pytest.raises(InputError, match=r"nothing of data set 'mnist' is there"):
        load(DataSpec("mnist", tmp_path / "empty"))
    with pytest.raises(InputError, match=r"b.npz' does not exist; give an .npz file"):
        load(DataSpec("mnist", tmp_path / "b.npz"))
    with pytest.raises(InputError, match=r"the path of an .npz file with x_train"):
        load(DataSpec("npz", tmp_path))
    with pytest.raises(InputError, match=r"needs data\.dir: a folder with one folder"):
        load(DataSpec("folder"))
    with pytest.raises(InputError, match="nowhere' does not exist; give a folder"):
        load(DataSpec("folder", tmp_path / "nowhere"))


def test_images_stand_for_a_data_set_only_with_its_classes(tmp_path):
    folder = write_folder(tmp_path / "mine", class_files(10, 2))
    with pytest.raises(InputError, match=r"classes class0, .*, and cifar10 has airpl"):
        load(DataSpec("cifar10", folder))
    names = SOURCES["cifar10"].class_names
    files = class_files(10, 2)
    renamed = {names[int(name[5])] + name[6:]: files[name] for name in files}
    data = load(DataSpec("cifar10", write_folder(tmp_path / "jpegs", renamed)))
    assert (data.train.name, data.train.class_names) == ("cifar10", names)


def test_a_folder_of_many_things_is_not_taken_for_a_data_set(tmp_path, monkeypatch):
    write_folder(tmp_path / "photos", class_files(2, 2))
    monkeypatch.setenv("JAXDD_DATA", str(tmp_path))
    with pytest.raises(InputError, match="nothing of data set 'cifar10' is there"):
        load(DataSpec("cifar10"), cache=tmp_path / "cache")


def test_embedded_and_array_data_are_resized(mnist_file):
    digits = load(DataSpec("digits", resize=16, channels=3))
    assert digits.train.image_shape == (16, 16, 3)
    small = load(DataSpec("mnist", mnist_file, resize=4, resize_mode="stretch"))
    assert small.train.image_shape == (4, 4, 1)
    with pytest.raises(InputError, match=r"data\.resize is 0"):
        load(DataSpec("mnist", mnist_file, resize=0))


@pytest.mark.parametrize("cached", [False, True])
def test_damaged_files_are_refused(tmp_path, mnist_file, cached):
    cache = tmp_path / "cache" if cached else None
    whole = mnist_file.read_bytes()
    middle = len(whole) // 3
    broken = bytearray(whole)
    broken[middle : middle + 40] = b"\xff" * 40
    for content in (whole[: middle * 2], whole[:10], b"", b"<html>", bytes(broken)):
        mnist_file.write_bytes(content)
        with pytest.raises(InputError, match=re.escape(f"{mnist_file} cannot be read")):
            load(DataSpec("mnist", mnist_file), cache=cache)
    assert not cached or not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": None}, "has no array y_test; it must hold x_train, y_train"),
        ({"x_train": np.zeros((60, 8))}, "mnist: train images have shape (60, 8)"),
        ({"x_test": np.zeros((60, 8, 8), int)}, "mnist: test images have type int64"),
        ({"y_train": np.zeros(60)}, "mnist: train labels have type float64"),
        ({"y_train": np.zeros(59, int)}, "mnist: train labels: 59 labels for 60"),
        ({"y_test": np.full(60, 10)}, "mnist: test labels contain class 10"),
        ({"y_test": np.full(60, {})}, "array y_test holds Python objects"),
        ({"x_test": np.full((60, 8, 8), np.nan)}, "mnist: test images contain NaN"),
        (
            {"x_test": np.zeros((0, 8, 8)), "y_test": np.zeros(0, int)},
            "shape (0, 8, 8)",
        ),
    ],
)
def test_wrong_arrays_are_refused(tmp_path, arrays, change, message):
    changed = {n: a for n, a in {**arrays, **change}.items() if a is not None}
    path = _write(tmp_path / "mnist.npz", changed)
    with pytest.raises(InputError, match=re.escape(message)):
        load(DataSpec("mnist", path))


def test_the_real_mnist(data_dir):
    data = load(DataSpec("mnist", data_dir, pad=2, pool=2, train_limit=6000))
    assert data.test is not None
    assert data.train.image.shape == (6000, 16, 16, 1)
    assert data.test.image.shape == (10_000, 16, 16, 1)
    np.testing.assert_array_equal(data.train.class_count, np.full(10, 600))
    whole = load(DataSpec("mnist", data_dir, test_limit=100)).train
    np.testing.assert_array_equal(whole.label[:5], [5, 0, 4, 1, 9])


def test_an_exported_set_is_data_without_a_test_split(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 1)).astype(np.uint8)
    label = np.arange(9) % 3
    names = np.array(["a", "b", "c"])
    path = tmp_path / "set.npz"
    arrays = {"x_train": image, "y_train": label, "class_names": names}
    np.savez(path, jaxdd_set=np.array("{}"), image=image / 255.0, **arrays)
    cache = tmp_path / "cache"
    whole = load(DataSpec("npz", path, test_share=0.0), cache=cache)
    assert whole.test is None
    np.testing.assert_array_equal(whole.train.image, image)
    assert whole.train.class_names == ("a", "b", "c")
    split = load(DataSpec("npz", path, test_share=0.3), cache=cache)
    assert split.test is not None
    assert (split.train.size, split.test.size) == (6, 3)
    np.savez(path, **arrays)  # without the mark all four arrays are wanted
    with pytest.raises(InputError, match=r"has no array x_test, y_test"):
        load(DataSpec("npz", path))
