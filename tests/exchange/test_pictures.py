"""Sets as pictures: class folders, archives, lists and Parquet of other people."""

import io
import zipfile

import numpy as np
import pytest

from jaxdd import exchange
from jaxdd.errors import InputError
from jaxdd.exchange.pixels import encode
from jaxdd.records import DataSpec
from tests.exchange.cases import EXPECTED, corpus, distilled

PIXELS = np.rint(EXPECTED["pixels"] * 255).astype(np.uint8)
LABEL = EXPECTED["label"]


def write_rded(folder):
    """Class folders as RDED names them, but as PNG, so that pixels are exact."""
    for row, c in enumerate(LABEL):
        place = folder / f"{c:05d}" / f"class{c:05d}_id{row:05d}.png"
        place.parent.mkdir(exist_ok=True, parents=True)
        place.write_bytes(encode(PIXELS[row]))


@pytest.mark.parametrize("packed", [False, True])
def test_class_folders_of_rded(packed, tmp_path):
    write_rded(tmp_path / "syn")
    path, real = tmp_path / "syn", corpus("zca_kornia")
    if packed:
        with zipfile.ZipFile(tmp_path / "syn.zip", "w") as archive:
            for file in path.rglob("*.png"):
                archive.write(file, file.relative_to(tmp_path))
        path = tmp_path / "syn.zip"
    made = exchange.read(path, corpus=real)
    np.testing.assert_array_equal(made.synthetic.target, LABEL)
    assert made.whitening is real.whitening
    plain = exchange.read(path)
    again = np.rint(np.asarray(plain.synthetic.image) * 255)
    np.testing.assert_array_equal(again, PIXELS)
    assert plain.meta.config["layout"] == "folder"
    assert plain.meta.class_names == ()


def test_pictures_of_another_size_follow_the_data(tmp_path):
    write_rded(tmp_path / "syn")
    real = corpus(side=8)
    with pytest.raises(InputError, match=r"images of 4x4, and cifar10 has 8x8"):
        exchange.read(tmp_path / "syn", corpus=real)
    made = exchange.read(tmp_path / "syn", corpus=real, data=DataSpec(resize=8))
    assert made.meta.image_shape == (8, 8, 3)


def test_pictures_without_classes_are_no_set(tmp_path):
    (tmp_path / "a").mkdir()
    for row in range(3):
        (tmp_path / "a" / f"{row}.png").write_bytes(encode(PIXELS[row]))
    with pytest.raises(InputError, match=r"has no labels; give a file that has"):
        exchange.read(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("file,label,weight", "file,label,weight,", "row 0 has 3 columns of 4"),
        ("00001_cat/000001", "../secret", r"lists '../secret.png', which is not"),
        ("00001_cat/000001", "00001_cat/x", "lists '00001_cat/x.png', which is not"),
        (".png,2,6", ".png,2,six", "could not convert string to float"),
        (".png,2,6", ".png,9,6", "label 9 of image 5"),
        (".png,2,6", ".png,2", "row 5 has 2 columns of 3"),
        (".png,2,6", ".png,2,-6", "wanted is one finite number"),
    ],
)
def test_damaged_lists_are_refused(tmp_path, old, new, message):
    path = exchange.write(distilled(), tmp_path / "out", "folder", exact=False).path
    text = (path / "labels.csv").read_text()
    assert old in text
    (path / "labels.csv").write_text(text.replace(old, new))
    (path.parent / "secret.png").write_bytes(encode(PIXELS[0]))
    with pytest.raises(InputError, match=message):
        exchange.read(path)


def test_somebody_elses_list_is_passed_over(tmp_path):
    path = exchange.write(distilled("soft"), tmp_path / "out", "folder", exact=False)
    (path.path / "labels.csv").write_text("id,breed\n1,dog\n")
    made = exchange.read(path.path)
    assert made.meta.label_kind == "hard"
    np.testing.assert_array_equal(made.synthetic.target, [0, 1, 1, 2, 2, 2])


def test_a_picture_that_does_not_decode_is_named(tmp_path):
    path = exchange.write(distilled(), tmp_path / "out", "folder", exact=False).path
    (path / "00001_cat" / "000001.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"00001_cat/000001.png does not decode"):
        exchange.read(path)


def test_parquet_of_other_people(tmp_path):
    """As Hugging Face's hub has CIFAR-10: `img` and `label`, names in the metadata."""
    datasets = pytest.importorskip("datasets", reason="needs Hugging Face's datasets")
    from PIL import Image

    names = [str(c) for c in range(9, -1, -1)]  # the data calls its classes 0, 1, ...
    features = datasets.Features(
        {"img": datasets.Image(), "label": datasets.ClassLabel(names=names)}
    )
    rows = {
        "img": [Image.open(io.BytesIO(encode(image))) for image in PIXELS],
        "label": LABEL.tolist(),
    }
    table = datasets.Dataset.from_dict(rows, features=features)
    table.to_parquet(str(tmp_path / "train-00000.parquet"))
    made = exchange.read(tmp_path / "train-00000.parquet", corpus=corpus("none"))
    np.testing.assert_array_equal(made.synthetic.target, LABEL)  # in order again
    again = np.rint(np.asarray(made.synthetic.image) * 255)
    flipped = PIXELS.reshape(10, 2, 4, 4, 3)[::-1].reshape(PIXELS.shape)
    np.testing.assert_array_equal(again, flipped)
