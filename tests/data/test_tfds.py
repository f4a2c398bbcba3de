"""TFDS data sets: a small committed one, mocked ones, and damaged ones."""

import dataclasses
import json
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from jaxdd.data.load import load
from jaxdd.data.readers import tfds, tfds_find
from jaxdd.data.readers.decode import Decoded
from jaxdd.data.readers.decode_worker import decode_one
from jaxdd.data.source import silent
from jaxdd.errors import InputError
from jaxdd.records import DataSpec
from tests.data import make_tfds_small as small
from tests.data.damage import damages, read_or_refused, recorder

ROOT = Path(small.__file__).parent / "tfds_small"
PLACE = ROOT / "small" / "1.0.0"
SPEC = DataSpec("tfds:small", test_share=0.0)


def decode_here(images, *, side, mode, limit, advance):
    """`decode_all` without processes, which take most of a test's time."""
    assert limit > 0
    names, pixels, bad = [], [], []
    for name, data in images:
        try:
            image = np.asarray(decode_one(data, side, mode))
        except Exception as error:
            bad.append((name, str(error)))
        else:
            names.append(name)
            pixels.append(image.reshape(*image.shape[:2], -1))
        advance(1)
    return Decoded(names, pixels, bad)


@pytest.fixture(autouse=True)
def quiet(monkeypatch, tmp_path):
    """No processes, no data of the person who runs the tests, no TensorFlow."""
    monkeypatch.setattr(tfds, "decode_all", decode_here)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "own"))
    monkeypatch.delenv("JAXDD_OFFLINE", raising=False)
    monkeypatch.setattr(tfds_find.importlib.util, "find_spec", lambda name: None)


@pytest.fixture
def kinds():
    import tensorflow_datasets

    return tensorflow_datasets.features


def check_small(arrays):
    for split in small.COUNTS:
        image, label = small.images(split)
        np.testing.assert_array_equal(arrays[f"x_{split}"], image)
        np.testing.assert_array_equal(arrays[f"y_{split}"], label)
        assert arrays[f"x_{split}"].dtype == np.uint8
        assert arrays[f"y_{split}"].dtype == np.int32
    assert arrays["class_names"].tolist() == list(small.NAMES)
    assert arrays["notes"].tolist() == []


@pytest.mark.parametrize("folder", [ROOT, PLACE])
@pytest.mark.parametrize("name", ["small", "small:1.0.0", "small:1.*.*"])
def test_the_committed_data_set_is_read(folder, name):
    progress, seen = recorder()
    check_small(tfds.read(name, folder, SPEC, progress))
    assert seen == [
        ("small: decode train", 8, "image", 8),
        ("small: decode test", 4, "image", 4),
    ]


def test_other_numbers_are_found_where_there_are_any(tmp_path, kinds):
    assert tfds.read_numbers(PLACE) == {}
    soft = np.random.default_rng(0).random((3, 2)).astype(np.float32)
    features = kinds.FeaturesDict(
        {
            "image": kinds.Image(shape=(8, 8, 3), encoding_format="png"),
            "soft": kinds.Tensor(shape=(2,), dtype=np.float32),
            "map": kinds.Tensor(shape=(2, 2), dtype=np.float32),
            "count": kinds.Scalar(dtype=np.int64),
        }
    )
    picture = small.encode(small.images("train")[0][0])
    rows = [
        {"image": picture, "soft": row, "map": np.ones((2, 2), np.float32), "count": 1}
        for row in soft
    ]
    small.write(tmp_path / "new", features, {"train": rows})
    numbers = tfds.read_numbers(tmp_path / "new")
    assert set(numbers) == {"soft"}
    np.testing.assert_array_equal(numbers["soft"], soft)
    for file in (tmp_path / "new").glob("small-train*"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(InputError, match=r"new cannot be read, it may be damaged"):
        tfds.read_numbers(tmp_path / "new")


def test_a_tfds_name_is_loaded_and_cached(tmp_path, monkeypatch):
    cache, spec = tmp_path / "cache", DataSpec("tfds:small", ROOT, resize=4)
    data = load(spec, cache=cache)
    assert data.train.class_names == small.NAMES
    assert data.train.image_shape == (4, 4, 3)
    monkeypatch.setattr(tfds, "decode_all", None)
    assert load(spec, cache=cache).train.hash == data.train.hash
    copy = shutil.copytree(PLACE, tmp_path / "copy" / "small" / "1.0.0")
    shutil.copy(copy / "dataset_info.json", copy / "another.json")
    with pytest.raises(TypeError):  # another folder, so it is decoded again
        load(dataclasses.replace(spec, dir=tmp_path / "copy"), cache=cache)


def test_reading_does_not_import_tensorflow():
    code = (
        "import sys; from pathlib import Path; from jaxdd.data.readers import tfds\n"
        "from jaxdd.data.source import silent; from jaxdd.records import DataSpec\n"
        f"a = tfds.read('small', Path({str(ROOT)!r}), DataSpec('tfds:small'), silent)\n"
        "print(len(a['x_train']), [m for m in ('tensorflow', 'torch') if m in "
        "sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "8 []"


def test_the_script_makes_the_committed_data_set(tmp_path, monkeypatch):
    monkeypatch.setattr(small, "HERE", tmp_path)
    small.main()
    check_small(tfds.read("small", tmp_path, SPEC, silent))
    made = json.loads((tmp_path / "small" / "1.0.0" / "features.json").read_text())
    assert made == json.loads((PLACE / "features.json").read_text())


class Source(list):
    """What `as_data_source` returns."""

    def __getitems__(self, rows):
        return [self[row] for row in rows]


def test_mocked_data(monkeypatch):
    import tensorflow_datasets

    asked = []

    def mocked(builder, split, decoders):
        assert builder.info.full_name == "small/1.0.0"
        assert list(decoders) == ["image"]
        asked.append(split)
        return Source(small.examples(split)[:3])

    mock = tensorflow_datasets.testing.mock_data(
        as_data_source_fn=mocked, data_dir=str(PLACE)
    )
    with mock:
        arrays = tfds.read("small", ROOT, SPEC, silent)
    assert asked == ["train", "test"]
    np.testing.assert_array_equal(arrays["x_train"], small.images("train")[0][:3])
    np.testing.assert_array_equal(arrays["y_test"], small.images("test")[1][:3])


def test_more_images_than_a_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds, "_BATCH", 3)
    check_small(tfds.read("small", ROOT, SPEC, silent))


# What data sets may look like ------------------------------------------------------


@pytest.fixture
def make(tmp_path, kinds):
    """Writes a data set and returns a function that reads it."""

    def write(features, rows, spec=SPEC, **info):
        place = tmp_path / "made" / "1.0.0"
        small.write(place, kinds.FeaturesDict(features), rows)
        path = place / "dataset_info.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | info))
        return lambda: tfds.read("made", tmp_path, spec, silent)

    return write


@pytest.fixture
def plain(kinds):
    return {
        "image": kinds.Image(shape=(None, None, 3)),
        "label": kinds.ClassLabel(num_classes=3),
    }


def test_validation_stands_in_for_test(make, plain):
    rows = {"train": small.examples("train"), "validation": small.examples("test")}
    arrays = make(plain, rows)()
    np.testing.assert_array_equal(arrays["x_test"], small.images("test")[0])
    assert arrays["class_names"].tolist() == ["0", "1", "2"]


def test_a_data_set_without_test_images(make, plain):
    arrays = make(plain, {"train": small.examples("train"), "extra": []})()
    assert "x_test" not in arrays
    assert len(arrays["x_train"]) == 8


def test_a_share_is_held_out_where_there_are_no_test_images(make, plain):
    shared = dataclasses.replace(SPEC, test_share=0.4)
    held = make(plain, {"train": small.examples("train")}, shared)()
    assert (len(held["x_train"]), len(held["x_test"])) == (5, 3)
    assert sorted(set(held["y_test"])) == [0, 1, 2]


def test_a_data_set_without_labels(make, kinds):
    rows = [{"picture": e["image"], "id": 7} for e in small.examples("train")]
    features = {"picture": kinds.Image(shape=(8, 8, 3)), "id": kinds.Scalar(np.int64)}
    arrays = make(features, {"train": rows})()
    assert sorted(arrays) == ["notes", "x_train"]


def test_the_data_set_says_which_label_counts(make, plain, kinds):
    features = plain | {"coarse": kinds.ClassLabel(num_classes=2)}
    rows = {"train": [e | {"coarse": 1} for e in small.examples("train")]}
    keys = {"tuple": {"items": [{"featureKey": "image"}, {"featureKey": "label"}]}}
    read = make(features, rows, supervisedKeys=keys)
    np.testing.assert_array_equal(read()["y_train"], small.images("train")[1])


def test_several_images_or_labels_are_refused(make, plain, kinds, tmp_path):
    coarse = {"coarse": kinds.ClassLabel(num_classes=2)}
    rows = {"train": [e | {"coarse": 1} for e in small.examples("train")]}
    read = make(plain | coarse, rows)
    with pytest.raises(
        InputError, match=r"example are image, its labels coarse, label"
    ):
        read()
    shutil.rmtree(tmp_path / "made")
    read = make({"label": plain["label"]}, {"train": [{"label": 1}]})
    with pytest.raises(InputError, match=r"example are none, its labels label"):
        read()


def test_a_data_set_without_training_images(make, plain):
    read = make(plain, {"test": small.examples("test")})
    with pytest.raises(InputError, match="has no split 'train'; it has test"):
        read()


@pytest.mark.parametrize("label", [-1, 3])
def test_labels_out_of_range_are_refused(make, plain, label):
    rows = small.examples("train")
    rows[2]["label"] = label
    read = make(plain, {"train": rows})
    with pytest.raises(InputError, match=f"1 labels such as {label} are outside 0 to"):
        read()


def mixed():
    rows = small.examples("train")
    grey = np.full((5, 9), 77, np.uint8)
    return [*rows, {"image": small.encode(grey), "label": 1}]


def test_tfds_images_of_mixed_sizes_need_resize(make, plain):
    read = make(plain, {"train": mixed()})
    with pytest.raises(InputError, match=r"train 0 is 8x8, train 8 9x5.*data\.resize"):
        read()


@pytest.mark.parametrize("mode", ["crop", "stretch"])
def test_tfds_images_of_mixed_sizes_are_resized(make, plain, mode):
    spec = dataclasses.replace(SPEC, resize=4, resize_mode=mode)
    arrays = make(plain, {"train": mixed()}, spec)()
    assert arrays["x_train"].shape == (9, 4, 4, 3)
    np.testing.assert_array_equal(arrays["x_train"][8], 77)


def test_images_that_do_not_decode(make, plain, tmp_path):
    rows = small.examples("train")
    rows[3]["image"] = b"no image"
    rows[5]["image"] = rows[5]["image"][:60]
    skip = dataclasses.replace(SPEC, skip_bad=True)
    read = make(plain, {"train": rows})
    with pytest.raises(InputError, match=r"2 of 8 images do not decode: train 3 \("):
        read()
    arrays = tfds.read("made", tmp_path, skip, silent)
    image, label = small.images("train")
    np.testing.assert_array_equal(arrays["x_train"], np.delete(image, [3, 5], 0))
    np.testing.assert_array_equal(arrays["y_train"], np.delete(label, [3, 5]))
    assert "left out 2 of 8 images" in arrays["notes"][0]


def test_no_image_decodes(make, plain):
    rows = [{"image": b"", "label": 0}]
    read = make(plain, {"train": rows}, dataclasses.replace(SPEC, skip_bad=True))
    with pytest.raises(InputError, match="no image of the split 'train' decodes"):
        read()


def test_another_file_format_is_refused(tmp_path):
    shutil.copytree(PLACE, tmp_path / "x")
    path = tmp_path / "x" / "dataset_info.json"
    info = json.loads(path.read_text())
    for form in ("tfrecord", None):
        path.write_text(json.dumps(info | {"fileFormat": form} if form else {}))
        with pytest.raises(InputError, match=r"prepared as tfrecord.*array_record"):
            tfds.read("x", tmp_path / "x", SPEC, silent)


# Damage ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["dataset_info.json", "small-train.array_record-00000-of-00001"]
)
@pytest.mark.parametrize("content", [None, b"", b"{}", b"[1]", b"x" * 100_000])
def test_missing_and_wrong_files_are_refused(tmp_path, name, content):
    place = shutil.copytree(PLACE, tmp_path / "x")
    (place / name).unlink()
    if content is not None:
        (place / name).write_bytes(content)
    with pytest.raises(InputError, match=re.escape(str(place))):
        tfds.read("x", place, SPEC, silent)


@pytest.fixture(scope="module")
def damaged_copy(tmp_path_factory):
    place = shutil.copytree(PLACE, tmp_path_factory.mktemp("damage") / "x")
    return place, {path: path.read_bytes() for path in sorted(place.iterdir())}


@settings(deadline=None, max_examples=50)
@given(damage=damages())
def test_any_damaged_tfds_file_reads_or_is_refused(damaged_copy, damage):
    place, contents = damaged_copy
    path = list(contents)[damage.pick % len(contents)]
    whole = contents[path]
    used = np.flatnonzero(np.frombuffer(whole, np.uint8))  # most of it is padding
    at = used[min(int(damage.place * len(used)), len(used) - 1)]
    path.write_bytes(dataclasses.replace(damage, place=at / len(whole))(whole))
    try:
        read_or_refused(lambda: tfds.read("x", place, SPEC, silent), place, 10)
    finally:
        path.write_bytes(whole)


# Where data sets lie ---------------------------------------------------------------


def prepared(root, *names):
    for name in names:
        (root / name).mkdir(parents=True)
        (root / name / "features.json").touch()
    return root


def test_the_newest_version_is_found(tmp_path):
    root = prepared(tmp_path, "a/9.0.0", "a/10.0.0", "a/2.0.0", "a/incomplete")
    (root / "a" / "11.0.0").mkdir()
    assert tfds_find.find("a", root) == root / "a" / "10.0.0"
    assert tfds_find.find("a:2.0.0", root) == root / "a" / "2.0.0"
    assert tfds_find.find("a:9.*.*", root) == root / "a" / "9.0.0"
    with pytest.raises(InputError, match="is prepared in none"):
        tfds_find.find("a:3.0.0", root)


def test_configurations(tmp_path):
    root = prepared(tmp_path, "a/x/1.0.0", "b/x/1.0.0", "b/y/1.0.0", "b/y/2.0.0")
    assert tfds_find.find("a", root) == root / "a" / "x" / "1.0.0"
    assert tfds_find.find("b/y", root) == root / "b" / "y" / "2.0.0"
    assert tfds_find.find("b:2.0.0", root) == root / "b" / "y" / "2.0.0"
    with pytest.raises(InputError, match=r"choose one: tfds:b/x, tfds:b/y"):
        tfds_find.find("b", root)


def test_the_places_that_are_searched(tmp_path):
    own = prepared(tmp_path / "own", "a/1.0.0", "b/1.0.0")
    data = prepared(tmp_path / "data", "tensorflow_datasets/a/1.0.0")
    assert tfds_find.find("a", None) == own / "a" / "1.0.0"
    assert tfds_find.find("a", data) == data / "tensorflow_datasets" / "a" / "1.0.0"
    assert tfds_find.find("b", data) == own / "b" / "1.0.0"


@pytest.mark.parametrize("name", ["", "../x", "a b", "a/b/c", "a:one", "/a"])
def test_names_that_tfds_does_not_have(name):
    with pytest.raises(InputError, match=r"is none of tfds:NAME"):
        tfds_find.find(name, None)


def test_unprepared_data_says_how_to_prepare_it(tmp_path):
    with pytest.raises(InputError) as caught:
        tfds.read("mnist:3.0.1", tmp_path, SPEC, silent)
    for part in (
        "pip install 'jaxdd[tfds]'",
        f"tfds build mnist --file_format=array_record --data_dir={tmp_path}",
        str(tmp_path / "own"),
    ):
        assert part in str(caught.value)


@pytest.fixture
def tensorflow(monkeypatch):
    """A TensorFlow that is there, and a TFDS that prepares; what they were told."""
    told = []

    def builder(name, **options):
        told.append((name, options))
        place = Path(options["data_dir"]) / name / "1.0.0"

        def make():
            if name == "broken":
                raise RuntimeError("checksum mismatch\nand much more")
            shutil.copytree(PLACE, place)

        return types.SimpleNamespace(data_dir=str(place), download_and_prepare=make)

    config = types.SimpleNamespace(set_visible_devices=lambda *a: told.append(a))
    fake = types.SimpleNamespace(config=config)
    import tensorflow_datasets

    monkeypatch.setitem(sys.modules, "tensorflow", fake)
    monkeypatch.setattr(tensorflow_datasets, "builder", builder)
    monkeypatch.setattr(tfds_find.importlib.util, "find_spec", lambda name: fake)
    return told


def test_with_tensorflow_data_is_prepared(tmp_path, tensorflow):
    check_small(tfds.read("fresh", tmp_path, SPEC, silent))
    options = {"data_dir": str(tmp_path), "file_format": "array_record"}
    assert tensorflow == [([], "GPU"), ("fresh", options)]
    tfds.read("fresh", tmp_path, SPEC, silent)
    assert len(tensorflow) == 2
    with pytest.raises(InputError, match=r"could not prepare 'broken'.*checksum mis"):
        tfds.read("broken", tmp_path, SPEC, silent)


def test_offline_nothing_is_prepared(tmp_path, tensorflow, monkeypatch):
    monkeypatch.setenv("JAXDD_OFFLINE", "1")
    with pytest.raises(InputError, match="is prepared in none"):
        tfds.read("fresh", tmp_path, SPEC, silent)
    assert tensorflow == []
