"""Splits and classes out of paths."""

import pytest

from jaxdd.data.readers.layout import Place, arrange
from jaxdd.errors import InputError

ANNOTATIONS = "val_0.JPEG\tn02\t0\t0\t9\t9\nval_1.JPEG\tn01\t0\t0\t9\t9\n"
WORDS = "n01\tgoldfish, Carassius auratus\nn02\tbullfrog\nn99\tother\n"


def test_one_folder_of_class_folders():
    made = arrange(["b/2.png", "a/1.png", "b/sub/3.png"], {}, "x")
    assert made.folders == made.class_names == ("a", "b")
    assert made.places == [
        Place(False, "b", "2.png"),
        Place(False, "a", "1.png"),
        Place(False, "b", "sub/3.png"),
    ]
    assert made.notes == []


@pytest.mark.parametrize("test", ["test", "val", "Validation", "valid"])
@pytest.mark.parametrize("prefix", ["", "data/set/"])
def test_split_folders(test, prefix):
    names = ["train/a/1.png", "train/b/1.png", f"{test}/a/2.png"]
    made = arrange([prefix + name for name in names], {}, "x")
    assert made.folders == ("a", "b")
    assert [place.test for place in made.places] == [False, False, True]


def test_a_second_held_out_split_is_left_out_and_said():
    names = ["train/a/1.png", "train/b/1.png", "val/a/2.png", "test/b/3.png"]
    made = arrange(names, {}, "x")
    assert made.places[2] is None
    assert made.places[3] == Place(True, "b", "3.png")
    assert made.notes == ["x: left out val/, not a split in use"]


def test_images_alone_have_no_classes():
    made = arrange(["photos/1.png", "photos/2.png"], {}, "x")
    assert made.folders == ()
    assert made.places == [Place(False, "", "1.png"), Place(False, "", "2.png")]
    split = arrange(["train/1.png", "test/2.png"], {}, "x")
    assert split.folders == ()
    assert [place.test for place in split.places] == [False, True]


def test_stray_images_are_left_out_and_said():
    made = arrange(["cover.png", "a/1.png", "b/1.png", "back.png"], {}, "x")
    assert made.places[0] is made.places[3] is None
    assert made.notes == ["x: left out cover.png and 1 more, in no class folder"]


def test_tiny_imagenet():
    names = [
        "tiny/train/n01/images/n01_0.JPEG",
        "tiny/train/n02/images/n02_0.JPEG",
        "tiny/val/images/val_0.JPEG",
        "tiny/val/images/val_1.JPEG",
        "tiny/val/images/val_2.JPEG",
        "tiny/test/images/test_0.JPEG",
    ]
    texts = {"val_annotations.txt": ANNOTATIONS, "words.txt": WORDS}
    made = arrange(names, texts, "x")
    assert made.folders == ("n01", "n02")
    assert made.class_names == ("goldfish", "bullfrog")
    assert [p and (p.test, p.folder) for p in made.places] == [
        (False, "n01"),
        (False, "n02"),
        (True, "n02"),
        (True, "n01"),
        None,
        None,
    ]
    assert made.notes == ["x: left out test/, not a split in use"]


def test_what_does_not_fit_is_refused():
    with pytest.raises(InputError, match="x holds no images; put JPEG"):
        arrange([], {}, "x")
    with pytest.raises(InputError, match="test class 'c' has no training images"):
        arrange(["train/a/1.png", "train/b/1.png", "test/c/1.png"], {}, "x")
    with pytest.raises(InputError, match="the test images lie in no class folders"):
        arrange(["train/a/1.png", "train/b/1.png", "test/1.png"], {}, "x")
