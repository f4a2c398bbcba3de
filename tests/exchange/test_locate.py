"""Which kind of set lies where."""

import shutil

import numpy as np
import pytest

from jaxdd import artefact, exchange
from jaxdd.errors import InputError
from jaxdd.exchange.locate import find
from tests.exchange.cases import SAMPLES, distilled


def test_samples_and_exports_are_told_apart(tmp_path):
    expected = {
        SAMPLES / "vico": "torch",
        SAMPLES / "mtt": "torch",
        SAMPLES / "idc" / "data.pt": "torch",
        SAMPLES / "dd": "torch",
        SAMPLES / "frepo": "npz",
    }
    for format in exchange.FORMATS:
        path = exchange.write(distilled(), tmp_path / format, format, exact=False).path
        expected[path] = {"npz": "own"}.get(format, format)
    assert {path: find(path).kind for path in expected} == expected
    for path in expected:
        assert exchange.peek(path).text


def test_a_peek_says_what_a_message_needs():
    peeked = exchange.peek(SAMPLES / "datm")
    assert (peeked.kind, peeked.layout, peeked.space) == ("torch", "mtt", "")
    assert (peeked.image, peeked.label) == ((20, 3, 4, 4), (20, 10))
    assert peeked.text == (
        "mtt: images float32[20, 3, 4, 4], labels [20, 10], whitening not said"
    )


def test_a_work_directory_of_several_seeds_asks_which(tmp_path):
    for seed in range(2):
        artefact.save(distilled(), tmp_path / f"set-seed{seed}")
    with pytest.raises(InputError, match=r"several sets: set-seed0, set-seed1; give"):
        find(tmp_path)
    assert exchange.read(tmp_path / "set-seed1").meta.method == "dm"
    assert exchange.peek(tmp_path / "set-seed1").space == "standard"


def test_what_is_no_set(tmp_path):
    with pytest.raises(InputError, match=r"missing' does not exist; give a set that"):
        find(tmp_path / "missing")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match=r"notes.txt' is of no known kind"):
        find(tmp_path / "notes.txt")
    with pytest.raises(InputError, match=r"holds no set that is known"):
        find(tmp_path)
    (tmp_path / "a.npz").write_bytes(b"no zip")
    with pytest.raises(InputError, match=r"a.npz cannot be read"):
        find(tmp_path / "a.npz")
    shutil.copy(SAMPLES / "mtt" / "labels_best.pt", tmp_path / "b.pt")
    with pytest.raises(InputError, match=r"several sets: a.npz, b.pt"):
        find(tmp_path)


def test_an_artefact_is_preferred_to_all_else(tmp_path):
    artefact.save(distilled(), tmp_path / "set")
    np.savez(tmp_path / "arrays.npz", image=np.ones(3))
    assert find(tmp_path) == ("artefact", tmp_path / "set")
