"""Labels: their kinds, their numbering, and what is refused."""

import numpy as np
import pytest

from jaxdd.errors import InputError
from jaxdd.exchange.raw import Raw
from jaxdd.exchange.targets import resolve
from jaxdd.records import Protocol, Recipe
from tests.exchange.cases import corpus

MSE = Protocol("frepo", train=Recipe(loss="mse"))
HARD = np.array([0, 1, 2, 1])
SOFT = np.array([[0.7, 0.2, 0.1], [0, 1, 0], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1]])


def made(label, count=4, *, choice="auto", protocol=None, classes=None, **options):
    real = options.pop("real", None)
    image = np.zeros((count, 2, 2, 1))
    return resolve(
        Raw(image, None if label is None else np.asarray(label), "npz", **options),
        count,
        corpus=real,
        num_classes=classes,
        choice=choice,
        protocol=protocol or Protocol(),
        where="file.npz",
    )


@pytest.mark.parametrize(
    "label",
    [HARD, HARD[:, None], HARD.astype(float), HARD.astype(np.uint8), np.eye(3)[HARD]],
)
def test_classes_in_every_spelling(label):
    found = made(label)
    np.testing.assert_array_equal(found.value, HARD)
    assert (found.value.dtype, found.num_classes) == (np.int32, 3)


def test_soft_rows_stay_and_order_by_their_highest_entry():
    found = made(SOFT)
    np.testing.assert_allclose(found.value, SOFT, atol=1e-7)
    np.testing.assert_array_equal(found.label, [0, 1, 2, 1])
    hard = made(SOFT, choice="hard")
    np.testing.assert_array_equal(hard.value, [0, 1, 2, 1])


def test_rows_that_are_no_probabilities_depend_on_the_loss():
    centred = np.eye(3)[HARD] - 1 / 3
    np.testing.assert_allclose(made(centred, protocol=MSE).value, centred, atol=1e-7)
    found = made(centred)
    np.testing.assert_array_equal(found.value, HARD)
    assert "the highest entry of each row is its class" in found.notes[0]
    with pytest.raises(InputError, match=r"labels='soft'.*'plain' needs them"):
        made(centred, choice="soft")
    with pytest.raises(InputError, match=r"labels='soft'.* holds classes, not rows"):
        made(HARD, choice="soft")


def test_the_number_of_classes_comes_from_who_knows_it():
    assert made(HARD).num_classes == 3
    assert made(HARD, classes=7).num_classes == 7
    assert made(HARD, real=corpus()).num_classes == 10
    assert made(HARD, class_names=tuple("abcd")).num_classes == 4
    with pytest.raises(InputError, match=r"num_classes=7, and cifar10 has 10"):
        made(HARD, classes=7, real=corpus())


def test_names_decide_the_numbers_where_there_are_names():
    real = corpus(classes=4)  # its classes are called 0, 1, 2, 3
    found = made(HARD, class_names=("3", "0", "2"), folders=True, real=real)
    np.testing.assert_array_equal(found.value, [3, 0, 2, 0])
    assert found.class_names == real.class_names


def test_folders_are_numbered_by_their_numbers_not_by_the_alphabet():
    names = tuple(sorted(f"new{c}" for c in range(12)))  # new0 new1 new10 new11 new2
    label = np.arange(12)
    found = made(label, 12, class_names=names, folders=True)
    np.testing.assert_array_equal(found.value, [int(n[3:]) for n in names])
    wordnet = ("n014407", "n014436", "n014848")
    found = made(HARD, class_names=wordnet, folders=True)
    np.testing.assert_array_equal(found.value, HARD)
    with pytest.raises(InputError, match=r"3 class folders .* for 10 classes"):
        made(HARD, class_names=wordnet, folders=True, real=corpus())


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (None, "has no labels"),
        ([0, 1, 2], "3 labels for 4 images"),
        ([0, 1, 2, 10], r"label 10 of image 3 \(and 0 more\) is outside 0 to 9"),
        ([0, -1, 2, -2], r"label -1 of image 1 \(and 1 more\) is outside 0 to 9"),
        ([0, 1, 2, 1.5], "labels such as 1.5 are no classes"),
        ([0, 1, 2, 1e12], "labels such as 1000000000000.0 are no classes"),
        ([0, 1, 2, np.nan], "label 3 is NaN or infinite"),
        (np.full((4, 10), np.inf), "label 0 is NaN or infinite"),
        (SOFT, "label rows of 3 numbers for 10 classes"),
        (np.zeros((4, 2, 2)), r"labels are float64 \[4, 2, 2\]"),
        (["a", "b", "c", "d"], r"labels are <U1 \[4\]"),
    ],
)
def test_wrong_labels_are_refused(label, message):
    with pytest.raises(InputError, match=rf"file.npz.*{message}"):
        made(label, real=corpus())


def test_data_without_labels_judges_no_classes():
    import dataclasses

    real = dataclasses.replace(corpus(), num_classes=0)
    with pytest.raises(InputError, match=r"cifar10 has none to judge them by"):
        made(HARD, real=real)
    with pytest.raises(InputError, match=r"1 classes; at least 2"):
        made([0, 0, 0, 0])
