"""The rows of the catalogue fit the readers, the published files and one another."""

import re

import numpy as np
import pytest

from jaxdd.data.catalogue import SOURCES
from jaxdd.data.readers import cifar, idx, svhn
from jaxdd.data.source import silent
from jaxdd.records import DataSpec
from tests.data.test_idx import toy_arrays, write

PUBLISHED = [name for name, source in SOURCES.items() if source.remotes]


def matches(name, folder):
    """(form, path) for all that a source's patterns find in a folder, best first."""
    return [
        (form, path)
        for form in SOURCES[name].forms
        for path in sorted(folder.glob(form.pattern))
    ]


@pytest.mark.parametrize("name", PUBLISHED)
def test_rows_name_what_is_published(name):
    source = SOURCES[name]
    assert source.home.startswith("http")
    assert len({remote.name for remote in source.remotes}) == len(source.remotes)
    for remote in source.remotes:
        assert re.fullmatch(r"md5:[0-9a-f]{32}|sha256:[0-9a-f]{64}", remote.checksum)
        assert remote.size > 0
        assert remote.urls
        for url in remote.urls:
            assert re.match(r"https?://[a-z]", url)
            assert url.endswith("/" + remote.name)


def test_no_file_is_published_twice():
    sums = [r.checksum for source in SOURCES.values() for r in source.remotes]
    assert len(set(sums)) == len(sums)


@pytest.mark.parametrize("name", PUBLISHED)
def test_downloaded_files_make_up_a_form(name, tmp_path):
    for remote in SOURCES[name].remotes:
        (tmp_path / remote.name).touch()
    form, path = matches(name, tmp_path)[0]
    beside = {other.name for glob in form.beside for other in tmp_path.glob(glob)}
    assert {path.name, *beside} == {remote.name for remote in SOURCES[name].remotes}
    assert not any(
        (tmp_path / f"{remote.name}.part").match(form.pattern)
        for remote in SOURCES[name].remotes
    )


LAYOUT = {
    "mnist.npz": ("mnist", None),
    "MNIST/raw/train-images-idx3-ubyte": ("mnist", idx.read),
    "mnist/train-images.idx3-ubyte": ("mnist", idx.read),
    "FashionMNIST/raw/train-images-idx3-ubyte": ("fashion_mnist", idx.read),
    "fashion-mnist/train-images-idx3-ubyte.gz": ("fashion_mnist", idx.read),
    "fashion_mnist.npz": ("fashion_mnist", None),
    "cifar-10-python.tar.gz": ("cifar10", cifar.cifar10_python),
    "cifar-10-binary.tar.gz": ("cifar10", cifar.cifar10_binary),
    "cifar-10-batches-py/data_batch_1": ("cifar10", cifar.cifar10_python),
    "cifar-10-batches-bin/data_batch_1.bin": ("cifar10", cifar.cifar10_binary),
    "cifar-100-python.tar.gz": ("cifar100", cifar.cifar100_python),
    "cifar-100-binary.tar.gz": ("cifar100", cifar.cifar100_binary),
    "cifar-100-python/meta": ("cifar100", cifar.cifar100_python),
    "cifar-100-binary/fine_label_names.txt": ("cifar100", cifar.cifar100_binary),
    "train_32x32.mat": ("svhn", svhn.read),
}


@pytest.mark.parametrize("file", LAYOUT)
def test_a_file_belongs_to_one_data_set(file, tmp_path):
    name, read = LAYOUT[file]
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    assert [other for other in SOURCES if matches(other, tmp_path)] == [name]
    form, path = matches(name, tmp_path)[0]
    assert read is None or form.read is read
    assert (tmp_path / file).is_relative_to(path)


def test_a_folder_may_hold_everything(tmp_path):
    for file in LAYOUT:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    first = {name: matches(name, tmp_path)[0] for name in ("mnist", "cifar10", "svhn")}
    assert first["mnist"][1].name == "mnist.npz"
    assert first["cifar10"][0].read is cifar.cifar10_python
    for name in ("mnist", "fashion_mnist", "cifar10", "cifar100", "svhn"):
        found = {str(path.relative_to(tmp_path)) for _, path in matches(name, tmp_path)}
        others = {f for f, (owner, _) in LAYOUT.items() if owner != name}
        assert not found & others


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_row_reads_both_kinds_of_file(name, tmp_path):
    arrays = toy_arrays()
    (tmp_path / "raw").mkdir()
    write(tmp_path / "raw", arrays)
    np.savez(tmp_path / f"{name}.npz", **arrays)
    for folder in (tmp_path, tmp_path / "raw"):
        form, path = matches(name, folder)[0]
        found = form.read(path, DataSpec(name), silent)
        np.testing.assert_array_equal(found["x_test"], arrays["x_test"])
    assert len(SOURCES[name].class_names) == 10
