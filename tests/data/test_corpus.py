"""Arrays become a corpus, or are refused with the reason and the remedy."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.data.corpus import build, dataset_from_arrays
from jaxdd.errors import InputError
from jaxdd.records import DataSpec
from tests.helpers import identity_whitening, toy_corpus, toy_images

RAW = DataSpec(whitening="none")


def _train(spec=RAW, **options):
    return dataset_from_arrays(toy_images(**options), None, spec).train


def test_build_equals_the_helper_of_the_tests():
    image, label = toy_images(per_class=5)
    built = build(image, label, identity_whitening(), name="toy")
    expected = toy_corpus(per_class=5)
    for field in ("image", "label", "class_index", "class_count"):
        np.testing.assert_array_equal(getattr(built, field), getattr(expected, field))
        assert getattr(built, field).dtype == getattr(expected, field).dtype
    assert built.num_classes == 4
    assert built.size == 20
    assert built.image_shape == (8, 8, 1)


def test_class_table_of_unequal_classes():
    label = np.asarray([2, 0, 0, 2, 0])
    built = build(
        np.zeros((5, 2, 2, 1), np.uint8),
        label,
        identity_whitening(),
        name="few",
        num_classes=4,
    )
    np.testing.assert_array_equal(built.class_count, [3, 0, 2, 0])
    np.testing.assert_array_equal(
        built.class_index, [[1, 2, 4], [0, 0, 0], [0, 3, 0], [0, 0, 0]]
    )


def test_unlabelled_data_is_one_group():
    image, _ = toy_images(per_class=3)
    data = dataset_from_arrays((image, None), (image, None), RAW)
    for corpus in data:
        assert corpus.num_classes == 0
        np.testing.assert_array_equal(corpus.label, np.zeros(12))
        np.testing.assert_array_equal(corpus.class_index, np.arange(12)[None])
        np.testing.assert_array_equal(corpus.class_count, [12])


def test_hash_covers_pixels_labels_and_names():
    image, label = toy_images(per_class=3)
    other, swapped = image.copy(), label.copy()
    other[0, 0, 0, 0] ^= 1
    swapped[[0, 1]] = swapped[[1, 0]] + (swapped[0] == swapped[1])
    hashes = {
        _hash(image, label),
        _hash(other, label),
        _hash(image, swapped),
        _hash(image, label, class_names=("a", "b", "c", "d")),
        _hash(image, None),
        _hash(image, np.zeros_like(label)),
    }
    assert len(hashes) == 6
    assert _hash(image, label) == _hash(image.copy(), label.astype(np.int64))


def _hash(image, label, **names):
    return build(image, label, identity_whitening(), name="any", **names).hash


def test_grey_and_float_images_are_accepted():
    image, label = toy_images()
    grey = dataset_from_arrays((image[..., 0], label), None, RAW).train
    for kind in (np.float16, np.float32, np.float64):
        unit = (image / 255).astype(kind)
        again = dataset_from_arrays((unit, label), None, RAW).train
        assert again.hash == grey.hash
    devices = dataset_from_arrays(
        (jnp.asarray(image), jnp.asarray(label[:, None])), None, RAW
    )
    assert devices.train.hash == grey.hash
    assert isinstance(grey.image, jax.Array)
    assert grey.image.dtype == jnp.uint8


def test_whitening_is_fitted_on_the_training_split_and_shared():
    image, label = toy_images()
    data = dataset_from_arrays((image, label), (image // 2, label), DataSpec())
    assert data.test is not None
    assert data.test.whitening is data.train.whitening
    assert data.train.whitening.channel_mean == pytest.approx(image.mean() / 255)


def test_limits_take_a_balanced_subset_that_grows():
    image, label = toy_images(per_class=12)
    spec = DataSpec(train_limit=10, test_limit=3, whitening="none")
    data = dataset_from_arrays((image, label), (image, label), spec)
    assert data.train.size == 10
    assert sorted(np.asarray(data.train.class_count)) == [2, 2, 3, 3]
    assert data.test is not None
    assert data.test.size == 3
    assert data.test.num_classes == 4
    again = _train(spec, per_class=12)
    np.testing.assert_array_equal(again.image, data.train.image)
    larger = _train(DataSpec(train_limit=30, whitening="none"), per_class=12)
    larger_rows = {row.tobytes() for row in np.asarray(larger.image)}
    assert all(row.tobytes() in larger_rows for row in np.asarray(again.image))
    everything = _train(DataSpec(train_limit=999, whitening="none"), per_class=12)
    np.testing.assert_array_equal(everything.image, image)


def test_limits_take_the_first_rows_where_asked_to():
    image, label = toy_images(per_class=12)
    order = np.random.default_rng(0).permutation(len(image))
    image, label = image[order], label[order]
    spec = DataSpec(train_limit=20, test_limit=7, whitening="none", limit_takes="first")
    data = dataset_from_arrays((image, label), (image, label), spec)
    assert data.test is not None
    np.testing.assert_array_equal(data.train.image, image[:20])
    np.testing.assert_array_equal(data.test.label, label[:7])
    by_class = np.argsort(label, kind="stable")
    sorted_rows = image[by_class], label[by_class]
    with pytest.raises(InputError, match="first 20 images are of 2 of the 4 classes"):
        dataset_from_arrays(sorted_rows, None, spec)


def test_limit_takes_all_of_a_small_class():
    image, label = toy_images(per_class=12)
    keep = (label != 3) | (np.cumsum(label == 3) <= 2)
    spec = DataSpec(train_limit=20, whitening="none")
    train = dataset_from_arrays((image[keep], label[keep]), None, spec).train
    np.testing.assert_array_equal(train.class_count, [6, 6, 6, 2])


def test_pad_then_pool_rounds_to_the_nearest():
    image = np.zeros((2, 2, 2, 1), np.uint8)
    image[0, :, :, 0] = [[1, 2], [2, 2]]
    image[1, :, :, 0] = [[255, 255], [255, 254]]
    label = np.asarray([0, 1])
    whole = dataset_from_arrays(
        (image, label), None, DataSpec(pool=2, whitening="none")
    ).train
    np.testing.assert_array_equal(whole.image[..., 0, 0, 0], [2, 255])
    padded = dataset_from_arrays(
        (image, label), None, DataSpec(pad=1, pool=2, whitening="none")
    ).train
    np.testing.assert_array_equal(padded.image[0, :, :, 0], [[0, 1], [1, 1]])
    np.testing.assert_array_equal(padded.image[1, :, :, 0], [[64, 64], [64, 64]])


IMAGE, LABEL = toy_images(per_class=3)
_NAN = (IMAGE / 255).astype(np.float32)
_NAN[2, 3, 3, 0] = np.nan
_INFINITE = (IMAGE / 255).astype(np.float32)
_INFINITE[2, 3, 3, 0] = -np.inf


@pytest.mark.parametrize(
    ("image", "label", "message"),
    [
        (IMAGE[..., 0, 0], LABEL, "train images have shape (12, 8)"),
        (IMAGE[None], LABEL, "train images have shape (1, 12, 8, 8, 1)"),
        (IMAGE[:0], LABEL[:0], "train images have shape (0, 8, 8, 1)"),
        (IMAGE[:, :0], LABEL, "none of them 0"),
        (np.moveaxis(IMAGE, -1, 1), LABEL, "looks like channels first"),
        (IMAGE.astype(np.int32), LABEL, "type int32; allowed are uint8 and floats"),
        (IMAGE > 5, LABEL, "type bool"),
        (IMAGE.astype(np.complex64), LABEL, "type complex64"),
        (IMAGE.astype(np.float32), LABEL, "floats must lie in [0,1]"),
        (IMAGE / 255 - 0.5, LABEL, "floats between -0.5"),
        (_NAN, LABEL, "train images contain NaN"),
        (_INFINITE, LABEL, "train images contain NaN or infinity"),
        (IMAGE.astype(object), LABEL, "train images are Python objects"),
        ([[1, 2], [3]], LABEL, "train images are no array"),
        (IMAGE, LABEL[:-1], "train labels: 11 labels for 12 images"),
        (IMAGE, np.eye(4)[LABEL], "one-hot rows: labels.argmax(1)"),
        (IMAGE, LABEL.astype(float), "labels have type float64; allowed are whole"),
        (IMAGE, LABEL.astype(str), "map the classes to 0..k-1"),
        (IMAGE, LABEL.astype(object), "train labels are Python objects"),
        (IMAGE, LABEL - 1, "train labels contain -1; map the classes to 0..k-1"),
        (IMAGE, LABEL.astype(np.uint64) * 2**33, "map the classes to 0..k-1"),
        (IMAGE, LABEL + 1, "4 classes, numbered up to 4, and none is 0; map"),
        (IMAGE, LABEL * 2, "none is 1; map the classes to 0..3"),
    ],
)
def test_bad_arrays_are_refused(image, label, message):
    with pytest.raises(InputError, match=re.escape(message)):
        dataset_from_arrays((image, label), None, RAW)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ((IMAGE[:, :4], LABEL), "train images are (8, 8, 1), test images (4, 8, 1)"),
        ((IMAGE, None), "test has no labels; give both or neither"),
        ((IMAGE, LABEL + 1), "test labels contain class 4, training ends at 3"),
        ((IMAGE[:5], LABEL), "arrays: test labels: 12 labels for 5 images"),
        ((_NAN, LABEL), "arrays: test images contain NaN"),
    ],
)
def test_bad_test_split_is_refused(test, message):
    with pytest.raises(InputError, match=re.escape(message)):
        dataset_from_arrays((IMAGE, LABEL), test, RAW)


def test_test_labels_without_training_labels_are_refused():
    with pytest.raises(InputError, match="train has no labels"):
        dataset_from_arrays((IMAGE, None), (IMAGE, LABEL), RAW)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train_limit": 0}, "data.train_limit=0: must be at least 1"),
        ({"train_limit": 3}, "data.train_limit is 3, but there are 4 classes"),
        ({"test_limit": -1}, "data.test_limit=-1"),
        ({"pad": -1}, "data.pad=-1: must be at least 0"),
        ({"pool": 0}, "data.pool=0: must be at least 1"),
        ({"pool": 3}, "data.pool is 3, which does not divide the padded image of 8x8"),
        ({"whitening": "zca"}, "data.whitening='zca' is unknown. Did you mean"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(InputError, match=re.escape(message)):
        dataset_from_arrays((IMAGE, LABEL), (IMAGE, LABEL), DataSpec(**settings))


def test_wrong_number_of_class_names_is_refused():
    with pytest.raises(InputError, match="4 classes, but there are 2 class names"):
        dataset_from_arrays((IMAGE, LABEL), None, RAW, class_names=("a", "b"))
