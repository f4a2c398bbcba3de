"""Parquet files of images: splits, columns, damage."""

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from PIL import Image

from jaxdd.data.load import load
from jaxdd.data.readers import parquet
from jaxdd.data.source import silent
from jaxdd.errors import InputError
from jaxdd.records import DataSpec
from tests.data.damage import damages, read_or_refused
from tests.exchange.cases import decode_here
from tests.helpers import toy_images

SPEC = DataSpec("folder", test_share=0.25)
IMAGE, LABEL = toy_images(per_class=4, classes=3, channels=3)
NAMES = ["cat", "dog", "owl"]


@pytest.fixture(autouse=True)
def quick_decoding(monkeypatch):
    monkeypatch.setattr(parquet, "decode_all", decode_here)


def encoded(image):
    stream = io.BytesIO()
    Image.fromarray(image.squeeze()).save(stream, "PNG")
    return stream.getvalue()


def write(path, image=IMAGE, label=LABEL, names=NAMES, plain=False, **others):
    """A file as Hugging Face has it; plain: bytes alone, without metadata."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [encoded(one) for one in image]
    if not plain:
        rows = [{"bytes": data, "path": None} for data in rows]
    columns = {"image": rows}
    if label is not None:
        columns["label"] = label
    table = pa.table({n: pa.array(v) for n, v in (columns | others).items()})
    if names and not plain:
        kind = {"names": names, "_type": "ClassLabel"}
        about = {"info": {"features": {"image": {"_type": "Image"}, "label": kind}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    pq.write_table(table, path)
    return path


def test_splits_are_told_by_the_names_of_files(tmp_path):
    half = len(IMAGE) // 2
    write(
        tmp_path / "data" / "train-00000-of-00002.parquet", IMAGE[:half], LABEL[:half]
    )
    write(
        tmp_path / "data" / "train-00001-of-00002.parquet", IMAGE[half:], LABEL[half:]
    )
    write(tmp_path / "data" / "validation-0.parquet", IMAGE[:3], LABEL[:3])
    arrays = parquet.read(tmp_path, SPEC, silent)
    np.testing.assert_array_equal(arrays["x_train"], IMAGE)
    np.testing.assert_array_equal(arrays["y_train"], LABEL)
    np.testing.assert_array_equal(arrays["x_test"], IMAGE[:3])
    assert arrays["class_names"].tolist() == NAMES
    write(tmp_path / "data" / "test-0.parquet", IMAGE[:5], LABEL[:5])
    assert len(parquet.read(tmp_path, SPEC, silent)["x_test"]) == 5


@pytest.mark.parametrize("plain", [True, False])
def test_without_a_test_split_a_share_is_held_out(tmp_path, plain):
    path = write(tmp_path / "any.parquet", plain=plain)
    arrays = parquet.read(path, SPEC, silent)
    assert (len(arrays["x_train"]), len(arrays["x_test"])) == (9, 3)
    assert arrays["class_names"].tolist() == ([] if plain else NAMES)


def test_a_path_to_parquet_is_loaded_as_data(tmp_path):
    path = write(tmp_path / "set" / "data" / "train-0.parquet")
    for place in (path, tmp_path / "set"):
        data = load(DataSpec("folder", place, test_share=0.0), cache=tmp_path / "cache")
        np.testing.assert_array_equal(data.train.image, IMAGE)
        assert data.train.class_names == tuple(NAMES)


def test_images_without_labels(tmp_path):
    path = write(tmp_path / "a.parquet", label=None, names=None)
    arrays = parquet.read(path, DataSpec("folder", test_share=0.0), silent)
    assert set(arrays) == {"x_train", "notes"}


def test_images_that_do_not_decode_are_left_out_with_their_labels(tmp_path):
    path = tmp_path / "a.parquet"
    rows = [{"bytes": encoded(one), "path": ""} for one in IMAGE]
    rows[1] = {"bytes": b"no picture", "path": ""}
    rows[2] = {"bytes": None, "path": "/etc/passwd"}  # a path alone is never opened
    pq.write_table(pa.table({"image": rows, "label": LABEL}), path)
    with pytest.raises(InputError, match=r"2 of 12 images do not decode: .* row 1 "):
        parquet.read(path, SPEC, silent)
    arrays = parquet.read(path, DataSpec("f", skip_bad=True, test_share=0.0), silent)
    kept = np.delete(np.arange(12), [1, 2])
    np.testing.assert_array_equal(arrays["x_train"], IMAGE[kept])
    np.testing.assert_array_equal(arrays["y_train"], LABEL[kept])


def test_columns_are_told_by_their_types(tmp_path):
    soft = [[0.5, 0.5, 0.0]] * 12
    weight = np.linspace(0, 1, 12)
    path = write(tmp_path / "a.parquet", soft=soft, weight=weight, note=["x"] * 12)
    found = parquet.columns(path)
    assert found == ("image", "label", tuple(NAMES), ("soft",), ("weight",))
    rows, _ = parquet.read_rows([path], SPEC, silent, [])
    np.testing.assert_array_equal(rows["soft"], np.float32(soft))
    np.testing.assert_array_equal(rows["weight"], np.float32(weight))


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"label": LABEL + 1}, "4 labels such as 3 are outside 0 to 2"),
        ({"label": LABEL - 1}, "4 labels such as -1 are outside 0 to 2"),
        ({"second": [b"x"] * 12}, "columns of images are image, second, of image"),
        ({"soft": [[1.0]] * 11 + [[1.0, 2.0]]}, "rows of 'soft' differ in length"),
        ({"soft": [[1.0]] * 11 + [None]}, "rows of 'soft' differ|has rows without"),
        ({"weight": [1.0] * 11 + [None]}, "'weight' has rows without numbers"),
    ],
)
def test_wrong_columns_are_refused(tmp_path, others, message):
    path = write(tmp_path / "a.parquet", **others)
    with pytest.raises(InputError, match=message) as caught:
        parquet.read(path, SPEC, silent)
    assert str(path) in str(caught.value)


def test_nothing_to_read(tmp_path):
    with pytest.raises(InputError, match="holds no Parquet files of a training split"):
        parquet.read(tmp_path, SPEC, silent)
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(
        InputError, match="columns of images are none, of text; exactly"
    ):
        parquet.read(tmp_path, SPEC, silent)


def test_damaged_parquet_is_valid_or_refused(tmp_path_factory):
    folder = tmp_path_factory.mktemp("damaged")
    path = write(folder / "a.parquet")
    content = path.read_bytes()

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(damages())
    def check(damage):
        path.write_bytes(damage(content))
        read_or_refused(lambda: parquet.read(path, SPEC, silent), path, 2**31)

    check()
