"""Exports, opened by the programs they are for and by our own readers."""

import io
import json

import jax
import numpy as np
import pytest
from PIL import Image

from jaxdd import exchange, whiten
from jaxdd.data.load import load
from jaxdd.errors import InputError
from jaxdd.exchange.pixels import to_pixels
from jaxdd.records import DataSpec
from tests.exchange.cases import NAMES, distilled

KINDS = ("hard", "soft", "representation")
PICTURES = ("folder", "parquet", "tfds")
LABEL = [0, 1, 1, 2, 2, 2]


def assert_same(one, other):
    """Every array alike, bit by bit, and everything that is said about them."""
    assert one.meta == other.meta
    one, other = one._replace(meta=()), other._replace(meta=())
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("format", exchange.FORMATS)
def test_an_exact_export_comes_back_whole(kind, format, tmp_path):
    mine = distilled(kind)
    written = exchange.write(mine, tmp_path / "out", format)
    assert_same(exchange.read(written.path), mine)
    assert_same(exchange.read(exchange.write(mine, written.path, format).path), mine)
    assert [p.name for p in tmp_path.iterdir()] == [written.path.name]
    peeked = exchange.peek(written.path)
    assert (peeked.image, peeked.space) == ((6, 6, 6, 3), "standard")


@pytest.mark.parametrize("kind", ["zca_kornia", "zca_kip", "zca_frepo", "none"])
def test_every_whitening_comes_back(kind, tmp_path):
    mine = distilled("hard", kind)
    written = exchange.write(mine, tmp_path / "out.npz")
    assert_same(exchange.read(written.path), mine)
    assert written.size == written.path.stat().st_size


@pytest.mark.parametrize("format", PICTURES)
@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_pictures_alone_are_a_set_too(kind, format, tmp_path):
    """Without the exact file the labels are the same, and the images their pixels."""
    mine = distilled(kind)
    pixels, _ = to_pixels(mine)
    written = exchange.write(mine, tmp_path / "out", format, exact=False)
    made = exchange.read(written.path)
    unit = np.asarray(whiten.to_unit(pixels))
    np.testing.assert_array_equal(made.synthetic.image, unit)
    np.testing.assert_array_equal(made.synthetic.target, mine.synthetic.target)
    np.testing.assert_array_equal(made.synthetic.weight, mine.synthetic.weight)
    assert made.meta.class_names == NAMES
    assert made.meta.label_kind == kind
    assert not (written.path / "set.npz").exists()


@pytest.mark.parametrize("format", exchange.FORMATS)
@pytest.mark.parametrize("channels", [1, 3])
def test_an_export_is_data_for_any_method(format, channels, tmp_path):
    mine = distilled("soft", channels=channels)
    pixels, _ = to_pixels(mine)
    path = exchange.write(mine, tmp_path / "out", format).path
    name = "npz" if format == "npz" else "folder"
    data = load(DataSpec(name, path, test_share=0.0), cache=tmp_path / "cache")
    assert data.test is None
    np.testing.assert_array_equal(data.train.image, pixels)
    np.testing.assert_array_equal(data.train.label, LABEL)
    names = [name.split(",")[0] for name in NAMES] if format == "folder" else NAMES
    assert data.train.class_names == tuple(names)


@pytest.mark.parametrize("kind", KINDS)
def test_hugging_face_opens_the_parquet(kind, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="needs Hugging Face's datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()
    mine = distilled(kind)
    pixels, _ = to_pixels(mine)
    path = exchange.write(mine, tmp_path / "out", "parquet").path
    cache = str(tmp_path / "cache")
    found = datasets.load_dataset(str(path), cache_dir=cache)
    assert list(found) == ["train"]
    table = found["train"]
    for row, example in enumerate(table):
        assert example["image"].format == "PNG"
        np.testing.assert_array_equal(np.asarray(example["image"]), pixels[row])
        assert example["weight"] == row + 1
    if kind != "representation":
        assert isinstance(table.features["label"], datasets.ClassLabel)
        assert table.features["label"].names == list(NAMES)
        assert table["label"][:] == LABEL
    wide = {"soft": "soft_label", "representation": "target"}.get(kind)
    assert set(table.column_names) == {"image", "weight"} | (
        {"label"} if kind != "representation" else set()
    ) | ({wide} if wide else set())
    if wide:
        expected = np.asarray(mine.synthetic.target)
        np.testing.assert_array_equal(np.float32(table[wide][:]), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_tfds_opens_its_folder(kind, tmp_path):
    import tensorflow_datasets as tfds

    mine = distilled(kind)
    pixels, _ = to_pixels(mine)
    path = exchange.write(mine, tmp_path / "out", "tfds").path
    builder = tfds.builder_from_directory(str(path))
    source = builder.as_data_source("train")
    assert len(source) == builder.info.splits["train"].num_examples == 6
    for row in range(6):
        np.testing.assert_array_equal(source[row]["image"], pixels[row])
        assert source[row]["weight"] == row + 1
        if kind != "representation":
            assert source[row]["label"] == LABEL[row]
        if kind == "soft":
            expected = np.asarray(mine.synthetic.target)[row]
            np.testing.assert_array_equal(source[row]["soft_label"], expected)
    if kind != "representation":
        assert builder.info.features["label"].names == list(NAMES)
        assert builder.info.supervised_keys == ("image", "label")


def test_the_folder_as_people_see_it(tmp_path):
    mine = distilled("soft")
    pixels, loss = to_pixels(mine)
    path = exchange.write(mine, tmp_path / "out", "folder").path
    files = sorted(str(p.relative_to(path)) for p in path.rglob("*.png"))
    assert files[:2] == ["00000_T-shirt-top/000000.png", "00001_cat/000001.png"]
    opened = Image.open(io.BytesIO((path / files[5]).read_bytes()))
    np.testing.assert_array_equal(np.asarray(opened), pixels[5])
    head, *rows = (path / "labels.csv").read_text().splitlines()
    assert head == "file,label,weight,soft_label_0,soft_label_1,soft_label_2"
    assert rows[3].startswith("00002_dog-small/000003.png,2,4,")
    text = (path / "README.md").read_text()
    assert f"{loss.clipped:.2%} of the pixels were clipped" in text
    assert "- accuracy: 0.625 (2 seeds)" in text
    about = json.loads((path / "export.json").read_text())
    assert about["loss"] == pytest.approx(loss._asdict())


def test_the_documented_arrays_of_an_npz(tmp_path):
    mine = distilled("soft")
    written = exchange.write(mine, tmp_path / "a.set", "npz")
    assert written.path.name == "a.set.npz"
    with np.load(written.path) as found:
        np.testing.assert_array_equal(found["image"], mine.synthetic.image)
        np.testing.assert_array_equal(found["label"], LABEL)
        np.testing.assert_array_equal(found["soft_label"], mine.synthetic.target)
        np.testing.assert_array_equal(found["weight"], np.arange(1, 7))
        np.testing.assert_array_equal(found["x_train"], to_pixels(mine)[0])
        np.testing.assert_array_equal(found["y_train"], LABEL)
        assert tuple(found["class_names"]) == NAMES
        assert str(found["whitening"]) == "standard"


@pytest.mark.parametrize("format", exchange.FORMATS)
def test_what_is_no_export_is_never_replaced(format, tmp_path):
    path = tmp_path / ("out.npz" if format == "npz" else "out")
    if format == "npz":
        np.savez(path, mine=np.arange(3))
    else:
        path.mkdir()
        exchange.write(distilled(), path, format)  # an empty folder is free
        (path / "export.json").unlink()
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match=r"export_dir=.* holds something"):
        exchange.write(distilled(), path, format)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_exports_that_cannot_be(tmp_path):
    with pytest.raises(InputError, match=r"export='zip' is unknown.*one of npz"):
        exchange.write(distilled(), tmp_path / "a", "zip")
    two = distilled(channels=2)
    for format in PICTURES:
        with pytest.raises(InputError, match=r"images of 2 channels are no pictures"):
            exchange.write(two, tmp_path / "a", format)
    assert_same(exchange.read(exchange.write(two, tmp_path / "a").path), two)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_writing_needs_no_tensorflow(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from jaxdd import exchange; from tests.exchange.cases import distilled\n"
        f"exchange.write(distilled('soft'), {str(tmp_path / 'out')!r}, 'tfds')\n"
        "print([m for m in ('tensorflow', 'torch', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
