"""Our .npz: what it refuses."""

import json

import numpy as np
import pytest

from jaxdd import exchange, files
from jaxdd.errors import InputError
from tests.exchange.cases import EXPECTED, distilled


def changed(tmp_path, kind="hard", about=None, **arrays):
    """An export with some arrays, or parts of its description, exchanged."""
    path = exchange.write(distilled(kind), tmp_path / "set.npz").path
    found = files.read_npz(path)
    text = json.loads(str(found["jaxdd_set"])) | (about or {})
    found |= {"jaxdd_set": np.array(json.dumps(text))} | arrays
    kept = {name: array for name, array in found.items() if array is not None}
    files.write_npz(path, **kept)
    return path


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"image": np.ones((6, 6, 6, 1))},
            r"image \[6, 6, 6, 1\].* for images of \[6,",
        ),
        ({"image": None}, "KeyError: 'image'"),
        ({"label": np.array([0, 1, 2])}, r"targets \[3\]"),
        ({"label": np.array([0, 1, 2, 3, 1, 1])}, "outside 0 to 2"),
        ({"label": np.array([0, 1, 2, -1, 1, 1])}, "outside 0 to 2"),
        ({"label": np.ones(6)}, "labels float64 outside 0 to 2"),
        ({"weight": np.full(6, np.nan)}, "all of them finite"),
        ({"whitening": np.array("zca_kip")}, "KeyError"),
        ({"fit/channel_mean": np.ones(5)}, r"'fit/channel_mean' is float64\[5\] where"),
        ({"about": {"format": 7}}, "has format 7, and this version of jaxdd reads 1"),
        ({"about": {"meta": {"method": "dm"}}}, "is damaged"),
        ({"about": {"content": 3}}, "damaged set"),
        ({"jaxdd_set": np.array("{")}, "is damaged"),
    ],
)
def test_an_export_that_does_not_fit_itself_is_refused(tmp_path, arrays, message):
    path = changed(tmp_path, **arrays)
    with pytest.raises(InputError, match=message) as caught:
        exchange.read(path)
    assert str(path) in str(caught.value)


def test_a_file_without_our_mark_is_somebody_elses(tmp_path):
    pixels = EXPECTED["pixels"][:6, :, :, :]
    path = changed(tmp_path, image=pixels)
    found = files.read_npz(path)
    del found["jaxdd_set"]
    files.write_npz(path, **found)
    made = exchange.read(path)
    np.testing.assert_array_equal(made.synthetic.image, pixels)
    np.testing.assert_array_equal(made.synthetic.weight, np.arange(1, 7))
    assert made.meta.method == "imported"
