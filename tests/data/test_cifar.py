"""CIFAR in its four published forms, each as archive and folder, whole and damaged."""

import io
import os
import pickle
import re
import struct
import tarfile

import numpy as np
import pytest
from hypothesis import given, settings

from jaxdd.data.readers import cifar
from jaxdd.data.source import silent
from jaxdd.errors import InputError
from jaxdd.records import DataSpec
from tests.data.damage import damages, read_or_refused, recorder

TEN = tuple(f"data_batch_{n}" for n in range(1, 6))
READERS = {
    "cifar-10-batches-bin": (cifar.cifar10_binary, 10),
    "cifar-10-batches-py": (cifar.cifar10_python, 10),
    "cifar-100-binary": (cifar.cifar100_binary, 100),
    "cifar-100-python": (cifar.cifar100_python, 100),
}
ARCHIVES = {
    "cifar-10-batches-bin": "cifar-10-binary.tar.gz",
    "cifar-10-batches-py": "cifar-10-python.tar.gz",
    "cifar-100-binary": "cifar-100-binary.tar.gz",
    "cifar-100-python": "cifar-100-python.tar.gz",
}
STARTS = {  # a file in the unpacked folder by which it is found
    "cifar-10-batches-bin": "data_batch_1.bin",
    "cifar-10-batches-py": "data_batch_1",
    "cifar-100-binary": "fine_label_names.txt",
    "cifar-100-python": "meta",
}


def split(seed, size, classes):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (size, 32, 32, 3)).astype(np.uint8)
    return image, rng.integers(0, classes, size)


def planes(image):
    return image.transpose(0, 3, 1, 2).reshape(len(image), 3072)


def python2(value):
    """The opcodes with which Python 2 wrote CIFAR's pickles (protocol 2)."""
    if isinstance(value, dict):
        inside = b"".join(python2(k) + python2(v) for k, v in value.items())
        return b"}(" + inside + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(python2, value)) + b"e"
    if isinstance(value, bytes):
        return b"T" + struct.pack("<i", len(value)) + value
    if isinstance(value, np.ndarray):
        shape = b"".join(map(python2, value.shape))
        return (
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85U\1btR"
            b"(K\1(" + shape + b"tcnumpy\ndtype\n(U\2u1K\0K\1tR"
            b"(K\3U\1|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89"
            + python2(value.tobytes())
            + b"tb"
        )
    return b"J" + struct.pack("<i", value)


def batch(form, image, label):
    """One file of a version."""
    if form.endswith(("bin", "binary")):
        heads = [label[:, None]] if "10-" in form else [label[:, None] // 5] * 2
        heads[-1] = label[:, None]
        return np.hstack([*heads, planes(image)]).astype(np.uint8).tobytes()
    key = b"labels" if "cifar-10-" in form else b"fine_labels"
    record = {b"data": planes(image), key: label.tolist()}
    record[b"filenames"] = [b"a.png"] * len(label)
    if key == b"fine_labels":
        record[b"coarse_labels"] = [int(n) // 5 for n in label]
    return b"\x80\2" + python2(record) + b"."


def names_file(form, names):
    if form.endswith(("bin", "binary")):
        return ("\n".join(names) + "\n\n").encode()
    key = b"label_names" if "cifar-10-" in form else b"fine_label_names"
    return b"\x80\2" + python2({key: [n.encode() for n in names]}) + b"."


def build(form):
    """(files by name, x_train, y_train, x_test, y_test, class names)."""
    classes = READERS[form][1]
    end = ".bin" if form.endswith(("bin", "binary")) else ""
    ten = classes == 10
    train_files = [f"{n}{end}" for n in TEN] if ten else [f"train{end}"]
    test_file = f"test_batch{end}" if ten else f"test{end}"
    meta = ("batches.meta" if ten else "meta") if not end else "batches.meta.txt"
    meta = "fine_label_names.txt" if end and not ten else meta
    parts = [split(seed, 3, classes) for seed in range(len(train_files))]
    test = split(99, 4, classes)
    names = [f"class {n}" for n in range(classes)]
    contents = {f: batch(form, *p) for f, p in zip(train_files, parts, strict=True)}
    contents |= {test_file: batch(form, *test), meta: names_file(form, names)}
    contents["readme.html"] = b"<html>"
    image, label = (np.concatenate(both) for both in zip(*parts, strict=True))
    return contents, image, label, *test, names


def write_folder(path, contents):
    path.mkdir(parents=True)
    for name, content in contents.items():
        (path / name).write_bytes(content)
    return path


def write_archive(path, form, contents):
    with tarfile.open(path, "w:gz") as archive:
        folder = tarfile.TarInfo(form)
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{form}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def read(form, path, progress=silent):
    return READERS[form][0](path, DataSpec("cifar"), progress)


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize("kind", ["folder", "archive", "file"])
def test_cifar_round_trip(tmp_path, form, kind):
    contents, image, label, test_image, test_label, names = build(form)
    if kind == "archive":
        path = write_archive(tmp_path / ARCHIVES[form], form, contents)
    else:
        path = write_folder(tmp_path / form, contents)
        path = path / STARTS[form] if kind == "file" else path
    progress, seen = recorder()
    found = read(form, path, progress)
    np.testing.assert_array_equal(found["x_train"], image)
    np.testing.assert_array_equal(found["y_train"], label)
    np.testing.assert_array_equal(found["x_test"], test_image)
    np.testing.assert_array_equal(found["y_test"], test_label)
    assert found["class_names"].tolist() == names
    assert found["x_train"].dtype == np.uint8
    assert [s[1:] for s in seen] == [(len(contents) - 1, "file", len(contents) - 1)]


@pytest.mark.parametrize("form", READERS)
def test_cifar_files_beside_are_covered_by_the_globs(tmp_path, form):
    contents = build(form)[0]
    folder = write_folder(tmp_path / form, contents)
    found = {path.name for glob in cifar.BESIDE for path in folder.glob(glob)}
    assert found | {STARTS[form]} == set(contents) - {"readme.html"}


@pytest.mark.parametrize("form", READERS)
def test_cifar_without_class_names(tmp_path, form):
    contents = build(form)[0]
    meta = next(n for n in contents if "meta" in n or "names" in n)
    del contents[meta]
    arrays = read(form, write_folder(tmp_path / form, contents))
    assert "class_names" not in arrays


@pytest.mark.parametrize("form", ["cifar-10-batches-py", "cifar-100-python"])
def test_pickles_of_python_3_are_read_too(tmp_path, form):
    contents, image, *_ = build(form)
    for name, content in contents.items():
        if name != "readme.html":
            record = pickle.loads(content, encoding="latin1")
            contents[name] = pickle.dumps(record)
    arrays = read(form, write_folder(tmp_path / form, contents))
    np.testing.assert_array_equal(arrays["x_train"], image)


@pytest.mark.parametrize("form", READERS)
@pytest.mark.parametrize("packed", [False, True])
def test_missing_cifar_files_are_named(tmp_path, form, packed):
    contents = build(form)[0]
    gone = next(n for n in contents if n.startswith("test"))
    del contents[gone]
    if packed:
        path = write_archive(tmp_path / ARCHIVES[form], form, contents)
    else:
        path = write_folder(tmp_path / form, contents)
    with pytest.raises(InputError, match=re.escape(f"{path} lacks {gone}")):
        read(form, path)
    nowhere = tmp_path / "no.tar.gz"
    with pytest.raises(InputError, match=re.escape(f"{nowhere} does not exist")):
        read(form, nowhere)


def changed(form, folder, name, content):
    contents = build(form)[0]
    contents[name] = content(contents[name])
    return write_folder(folder / form, contents)


BINARY = ("cifar-10-batches-bin", "data_batch_3.bin")
FINE = ("cifar-100-binary", "test.bin")


@pytest.mark.parametrize(
    ("form", "name", "content", "message"),
    [
        (*BINARY, lambda c: b"", "has 0 bytes"),
        (*BINARY, lambda c: c[:-1], "has 9,218 bytes"),
        (*BINARY, lambda c: c + b"1", "has 9,220 bytes"),
        (*BINARY, lambda c: b"\x0a" + c[1:], "a label is 10, allowed are 0 to 9"),
        (*FINE, lambda c: c[:1] + b"\x64" + c[2:], "a label is 100, allowed are 0 to"),
        ("cifar-10-batches-bin", "batches.meta.txt", lambda c: b"a\nb\n", "2 classes"),
        ("cifar-10-batches-bin", "batches.meta.txt", lambda c: b"\xff\n", "utf-8"),
        (
            "cifar-100-binary",
            "fine_label_names.txt",
            lambda c: c * 2,
            "in place of 100",
        ),
    ],
)
def test_wrong_binary_cifar_is_refused(tmp_path, form, name, content, message):
    path = changed(form, tmp_path, name, content)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read(form, path)
    assert f"{path} ({name})" in str(caught.value)


def remade(**changes):
    """A batch of the python version with some entries set, or removed by None."""

    def make(content):
        record = pickle.loads(content, encoding="bytes")
        record |= {key.encode(): value for key, value in changes.items()}
        return pickle.dumps({k: v for k, v in record.items() if v is not None})

    return make


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda c: b"", "not a whole pickle"),
        (lambda c: c[:-500], "not a whole pickle"),
        (lambda c: pickle.dumps([1]), "holds a list in place of a dict"),
        (remade(data=None), "has no entry 'data'"),
        (remade(labels=None), "has no entry 'labels'"),
        (remade(labels=[1, 2]), "has 2 labels for 3 images"),
        (remade(labels=[1, 2, 10]), "a label is 10, allowed are 0 to 9"),
        (remade(labels=[1, 2, -1]), "a label is -1, allowed are 0 to 9"),
        (remade(labels=[1, 2, 10**30]), f"a label is {10**30}, allowed"),
        (remade(labels=[1, 2, 1.0]), "its labels are no list of whole numbers"),
        (remade(labels=(1, 2, 3)), "its labels are no list of whole numbers"),
        (remade(data=np.zeros((3, 3072))), "no array uint8 [n,3072]"),
        (remade(data=np.zeros((3, 3071), np.uint8)), "no array uint8 [n,3072]"),
        (remade(data=np.zeros((0, 3072), np.uint8), labels=[]), "no array uint8"),
        (remade(data=[1]), "no array uint8 [n,3072]"),
        (remade(data=np.array([{}])), "only arrays of plain numbers are read"),
    ],
)
def test_wrong_pickled_cifar_is_refused(tmp_path, content, message):
    form = "cifar-10-batches-py"
    path = changed(form, tmp_path, "data_batch_2", content)
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read(form, path)
    assert f"{path} (data_batch_2)" in str(caught.value)


@pytest.mark.parametrize("names", [3, ["a"], [1] * 10, ["a"] * 10])
def test_wrong_class_names_in_a_pickle_are_refused(tmp_path, names):
    form = "cifar-10-batches-py"
    path = changed(form, tmp_path, "batches.meta", remade(label_names=names))
    with pytest.raises(InputError, match=r"batches\.meta"):
        read(form, path)


class Attack:
    """Unpickled by Python's own module, it would make a folder."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("packed", [False, True])
def test_code_in_a_cifar_pickle_is_never_executed(tmp_path, packed):
    form, target = "cifar-10-batches-py", tmp_path / "executed"
    contents = build(form)[0]
    contents["test_batch"] = pickle.dumps(
        {"data": Attack(target), "labels": [1]}, protocol=2
    )
    if packed:
        path = write_archive(tmp_path / ARCHIVES[form], form, contents)
    else:
        path = write_folder(tmp_path / form, contents)
    with pytest.raises(InputError, match=r"code.*mkdir") as caught:
        read(form, path)
    assert "test_batch" in str(caught.value)
    assert not target.exists()
    pickle.loads(contents["test_batch"])
    assert target.exists(), "the attack works on an ordinary reader"


def test_a_damaged_cifar_archive_is_refused(tmp_path):
    form = "cifar-10-batches-bin"
    path = write_archive(tmp_path / ARCHIVES[form], form, build(form)[0])
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 4
    for content in (
        b"",
        whole[:-4],
        whole[: len(whole) // 2],
        bytes(flipped),
        b"<html>",
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=re.escape(str(path))):
            read(form, path)


def test_a_file_that_is_twice_in_an_archive_is_refused(tmp_path):
    form = "cifar-10-batches-bin"
    contents = build(form)[0]
    contents["again/test_batch.bin"] = contents["test_batch.bin"]
    path = write_archive(tmp_path / ARCHIVES[form], form, contents)
    with pytest.raises(InputError, match=r"holds test_batch\.bin twice"):
        read(form, path)


@pytest.fixture(scope="module", params=READERS)
def cifar_folder(request, tmp_path_factory):
    form = request.param
    contents = build(form)[0]
    return form, write_folder(tmp_path_factory.mktemp("c") / form, contents), contents


@settings(deadline=None, max_examples=50)
@given(damage=damages())
def test_any_damaged_cifar_file_reads_or_is_refused(cifar_folder, damage):
    form, folder, contents = cifar_folder
    name = list(contents)[damage.pick % (len(contents) - 1)]
    (folder / name).write_bytes(damage(contents[name]))
    try:
        read_or_refused(lambda: read(form, folder), folder, READERS[form][1])
    finally:
        (folder / name).write_bytes(contents[name])


@settings(deadline=None, max_examples=50)
@given(damage=damages())
def test_any_damaged_cifar_archive_reads_or_is_refused(cifar_folder, damage):
    form, folder, contents = cifar_folder
    path = folder.parent / ARCHIVES[form]
    if not path.exists():
        write_archive(path, form, contents)
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    try:
        read_or_refused(lambda: read(form, path), path, READERS[form][1])
    finally:
        path.write_bytes(whole)
