"""Images in folders and archives, as people have them, and what goes wrong there."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxdd.data.load import load
from jaxdd.data.readers import folders
from jaxdd.data.source import silent
from jaxdd.errors import InputError
from jaxdd.records import DataSpec
from tests.data.pictures import (
    class_files,
    encoded,
    picture,
    write_folder,
    write_tar,
    write_zip,
)


def read(path, **options):
    return folders.read(path, DataSpec("folder", path, **options), silent)


@pytest.fixture
def photos(tmp_path):
    return write_folder(tmp_path / "photos", class_files(3, 10))


def test_the_corpus_is_the_same_from_folder_and_archives(tmp_path, photos):
    files = class_files(3, 10)
    prefixed = class_files(3, 10, prefix="photos/")
    places = [
        photos,
        write_tar(tmp_path / "a.tar.xz", files),
        write_tar(tmp_path / "b.tar.zst", prefixed),
        write_zip(tmp_path / "c.zip", prefixed),
    ]
    made = [load(DataSpec("folder", place)) for place in places]
    assert len({data.train.hash for data in made}) == 1
    assert len({data.test.hash for data in made}) == 1
    assert [data.train.name for data in made] == ["photos", "a", "b", "c"]
    train = made[0].train
    assert train.image_shape == (8, 8, 3)
    assert (train.size, made[0].test.size) == (24, 6)
    assert train.class_names == ("class0", "class1", "class2")


def test_images_come_in_the_order_of_class_and_file(tmp_path):
    path = write_folder(tmp_path / "f", class_files(2, 3))
    arrays = read(path, test_share=0.0)
    assert "x_test" not in arrays
    np.testing.assert_array_equal(arrays["y_train"], [0, 0, 0, 1, 1, 1])
    expected = [np.asarray(picture(s)) for s in (0, 1, 2, 10, 11, 12)]
    np.testing.assert_array_equal(arrays["x_train"], expected)


def test_the_split_is_seeded_stratified_and_complete(photos):
    first, again = read(photos), read(photos)
    other = read(photos, split_seed=1)
    half = read(photos, test_share=0.5)
    np.testing.assert_array_equal(first["x_test"], again["x_test"])
    assert not np.array_equal(first["x_test"], other["x_test"])
    np.testing.assert_array_equal(np.bincount(first["y_test"]), [2, 2, 2])
    np.testing.assert_array_equal(np.bincount(half["y_test"]), [5, 5, 5])
    both = np.concatenate([first["x_train"], first["x_test"]])
    assert len(np.unique(both.reshape(30, -1), axis=0)) == 30


def test_given_splits_are_kept(tmp_path):
    files = class_files(2, 3, prefix="train/") | class_files(2, 1, prefix="test/")
    data = load(DataSpec("folder", write_folder(tmp_path / "f", files)))
    assert (data.train.size, data.test.size) == (6, 2)


def test_images_without_classes_are_unlabelled_data(tmp_path):
    files = {f"{i}.png": encoded(picture(i)) for i in range(10)}
    data = load(DataSpec("folder", write_folder(tmp_path / "f", files)))
    assert data.train.num_classes == 0
    assert (data.train.size, data.test.size) == (8, 2)


def test_grey_among_colour_is_converted_and_grey_alone_stays(tmp_path):
    files = class_files(2, 3)
    files["class0/00.png"] = encoded(picture(0, mode="L"))
    mixed = read(write_folder(tmp_path / "f", files), test_share=0.0)["x_train"]
    assert mixed.shape == (6, 8, 8, 3)
    assert (mixed[0] == mixed[0, :, :, :1]).all()
    grey = {n: encoded(picture(i, mode="L")) for i, n in enumerate(files)}
    arrays = read(write_folder(tmp_path / "g", grey))
    assert arrays["x_train"].shape[3] == 1


def test_mixed_sizes_need_resize(tmp_path):
    files = class_files(2, 3) | {"class1/09.png": encoded(picture(9, (12, 10)))}
    path = write_folder(tmp_path / "f", files)
    message = r"differ in size \(class0/00.png is 8x8, class1/09.png 12x10\).*--data\."
    with pytest.raises(InputError, match=message + "resize"):
        read(path)
    assert read(path, resize=4)["x_train"].shape[1:] == (4, 4, 3)


def test_bad_images_are_named_or_left_out_and_listed(tmp_path):
    files = class_files(3, 10)
    files["class1/03.png"] = files["class1/03.png"][:50]
    files["class2/05.png"] = b""
    path = write_folder(tmp_path / "f", files)
    with pytest.raises(InputError, match=r"2 of 30 images do not .*class1/03.png.*bad"):
        read(path)
    told = []
    for _ in range(2):  # the second time from the cache
        data = load(
            DataSpec("folder", path, skip_bad=True),
            cache=tmp_path / "cache",
            announce=told.append,
        )
    assert (data.train.size, data.test.size) == (22, 6)
    assert len(told) == 2
    assert told[0] == told[1]
    assert "left out 2 of 30" in told[0]
    assert "class2/05.png" in told[0]


def test_a_class_with_too_few_images(tmp_path):
    files = class_files(2, 4) | {"lonely/1.png": encoded(picture(1))}
    path = write_folder(tmp_path / "f", files)
    with pytest.raises(InputError, match=r"class 'lonely' has one image; at least two"):
        read(path)
    assert len(read(path, test_share=0.0)["x_train"]) == 9


def test_nothing_to_read(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty holds no images; put JPEG, PNG or"):
        read(tmp_path / "empty")
    with pytest.raises(InputError, match="holds no images"):
        read(write_folder(tmp_path / "f", {"a/readme.txt": b"no"}))
    with pytest.raises(InputError, match="holds no images"):
        read(write_zip(tmp_path / "f.zip", {"a/readme.txt": b"no"}))


def test_a_path_twice_in_an_archive_is_refused(tmp_path):
    import zipfile

    path = write_zip(tmp_path / "f.zip", class_files(2, 2))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as z:
        z.writestr("class0/00.png", encoded(picture(5)))
    with pytest.raises(InputError, match=r"holds 00.png twice"):
        read(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"resize": 0}, r"data\.resize is 0"),
        ({"test_share": 1.0}, r"data\.test_share is 1\.0"),
        ({"test_share": -0.1}, r"data\.test_share is -0\.1"),
    ],
)
def test_settings_without_meaning(photos, options, message):
    with pytest.raises(InputError, match=message):
        read(photos, **options)


def test_the_cache_knows_the_folder_and_the_settings(tmp_path, photos):
    cache = tmp_path / "cache"
    for spec in (
        DataSpec("folder", photos),
        DataSpec("folder", photos),
        DataSpec("folder", photos, resize=4),
        DataSpec("folder", photos, split_seed=1),
    ):
        load(spec, cache=cache)
    assert len(list(cache.iterdir())) == 3
    first = load(DataSpec("folder", photos), cache=cache)
    (photos / "class0" / "00.png").write_bytes(encoded(picture(77)))
    assert load(DataSpec("folder", photos), cache=cache).train.hash != first.train.hash


def test_a_full_disk_while_caching_loses_nothing(tmp_path, photos, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    cache = tmp_path / "cache"
    with monkeypatch.context() as patch:
        patch.setattr("jaxdd.files.os.fsync", full)
        with pytest.raises(InputError, match="No space left on device"):
            load(DataSpec("folder", photos), cache=cache)
    assert list(cache.iterdir()) == []
    assert load(DataSpec("folder", photos), cache=cache).train.size == 24


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_damage_to_an_archive_is_an_input_error_or_valid_data(tmp_path, data):
    whole = bytearray(write_tar(tmp_path / "w.tar", class_files(2, 3)).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(whole) - 1))
        whole[place : place + 20] = data.draw(st.binary(max_size=20))
    path = tmp_path / "broken.tar"
    path.write_bytes(whole)
    try:
        arrays = read(path, skip_bad=data.draw(st.booleans()))
    except InputError:
        return
    assert arrays["x_train"].dtype == np.uint8
    assert len(arrays["x_train"]) == len(arrays.get("y_train", arrays["x_train"]))


def test_the_real_tiny_imagenet(data_dir, tmp_path):
    data = load(DataSpec("tinyimagenet", data_dir, resize=16, train_limit=100))
    assert data.train.num_classes == 20
    assert data.train.class_names[0] == "bullfrog"
    assert data.train.image_shape == (16, 16, 3)
    assert data.test.size == 1000
