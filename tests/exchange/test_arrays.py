"""NumPy's files and safetensors of other projects."""

import json

import numpy as np
import pytest

from jaxdd import exchange
from jaxdd.errors import InputError
from jaxdd.records import Protocol, Recipe
from tests.exchange.cases import EXPECTED, SAMPLES, corpus

FREPO = SAMPLES / "frepo" / "step000500.npz"
KIP = next((SAMPLES / "kip").glob("*.npz"))
CENTRED = np.eye(10)[EXPECTED["label"]] - 0.1
MSE = Protocol("frepo", train=Recipe(loss="mse"))


def test_frepo_keeps_its_centred_rows_for_a_loss_that_takes_them():
    made = exchange.read(FREPO, corpus=corpus(), whitening="zca_frepo", protocol=MSE)
    np.testing.assert_array_equal(made.synthetic.image, EXPECTED["image"])
    np.testing.assert_allclose(made.synthetic.target, CENTRED, atol=1e-7)
    assert made.meta.label_kind == "soft"
    assert made.whitening.kind == "zca_frepo"


def test_centred_rows_are_classes_under_cross_entropy():
    made = exchange.read(FREPO, corpus=corpus(), whitening="zca_frepo")
    np.testing.assert_array_equal(made.synthetic.target, EXPECTED["label"])
    assert made.meta.label_kind == "hard"
    assert "are no probabilities" in made.meta.config["notes"][0]


def test_the_name_of_a_file_of_kip_names_its_whitening():
    made = exchange.read(KIP, corpus=corpus(), protocol=MSE)
    assert made.whitening.kind == "zca_kip"
    assert made.meta.method == "kip"
    assert exchange.peek(KIP).space == "zca_kip"


def test_frepo_without_its_whitening_is_asked_about():
    with pytest.raises(
        InputError, match=r"step000500.npz are float32 between .* FRePo"
    ):
        exchange.read(FREPO, corpus=corpus())


@pytest.mark.parametrize("names", [("images", "labels"), ("x", "y")])
def test_two_files_of_numpy(tmp_path, names):
    np.save(tmp_path / f"{names[0]}.npy", EXPECTED["pixels"])
    np.save(tmp_path / f"{names[1]}.npy", EXPECTED["label"])
    made = exchange.read(tmp_path / f"{names[0]}.npy")
    np.testing.assert_array_equal(made.synthetic.image, EXPECTED["pixels"])
    (tmp_path / f"{names[1]}.npy").unlink()
    with pytest.raises(InputError, match=r"give their labels as labels\.npy"):
        exchange.read(tmp_path / f"{names[0]}.npy")


def test_python_objects_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}, {}]), allow_pickle=True)
    np.save(tmp_path / "y.npy", np.arange(2))
    with pytest.raises(InputError, match=r"x\.npy .*Python objects"):
        exchange.read(tmp_path / "x.npy")
    np.savez(tmp_path / "set.npz", image=np.array([{}]), label=np.arange(1))
    with pytest.raises(InputError, match=r"array image holds Python objects"):
        exchange.read(tmp_path / "set.npz")


def test_safetensors(tmp_path):
    pixels = (EXPECTED["pixels"] * 255).astype(np.uint8)
    label = EXPECTED["label"].astype(np.int64)
    parts = {"images": pixels, "labels": label}
    head, start = {}, 0
    for name, array in parts.items():
        kind = {"uint8": "U8", "int64": "I64"}[array.dtype.name]
        ends = [start, start + array.nbytes]
        head[name] = {"dtype": kind, "shape": array.shape, "data_offsets": ends}
        start = ends[1]
    text = json.dumps(head).encode()
    text += b" " * (-len(text) % 8)
    body = b"".join(array.tobytes() for array in parts.values())
    path = tmp_path / "set.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)
    made = exchange.read(path)
    np.testing.assert_array_equal(
        np.rint(np.asarray(made.synthetic.image) * 255), pixels
    )
    np.testing.assert_array_equal(made.synthetic.target, label)
