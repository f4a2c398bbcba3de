"""Targets are brought to the shape of the set's images."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jaxdd.base import Dataset
from jaxdd.errors import InputError
from jaxdd.records import DataSpec, Protocol, Transfer
from jaxdd.run.config import Options
from jaxdd.run.context import RunContext
from tests.data.pictures import class_files, write_folder
from tests.helpers import toy_images


def load_targets(protocol: Protocol, data: DataSpec, shape: tuple) -> list[Dataset]:
    meta: Any = SimpleNamespace(protocol=protocol, image_shape=shape)
    return RunContext(Options()).targets(meta, data)


def test_size_channels_and_whitening_follow_the_set(tmp_path) -> None:
    image, label = toy_images(per_class=12, classes=10, side=28)
    arrays = {"x_train": image, "y_train": label, "x_test": image, "y_test": label}
    np.savez(tmp_path / "mnist.npz", **arrays)
    own = DataSpec("folder", tmp_path / "mnist.npz", whitening="zca_kornia")
    asked = Protocol(
        transfer=Transfer(("digits", "mnist"), train_limit=40, test_limit=20)
    )
    digits, mnist = load_targets(asked, own, (16, 16, 3))
    for name, (train, test) in {"digits": digits, "mnist": mnist}.items():
        assert train.name == name
        assert (train.size, test.size) == (40, 20)
        assert train.image_shape == test.image_shape == (16, 16, 3)
        assert train.whitening.kind == "zca_kornia"
    assert not np.allclose(digits.train.whitening.mean, mnist.train.whitening.mean)


def test_a_folder_of_their_own(tmp_path) -> None:
    files = {f"cub2011/{n}": d for n, d in class_files(2, 6).items()}
    write_folder(tmp_path, files)
    asked = Protocol(transfer=Transfer(("cub2011",), tmp_path))
    (made,) = load_targets(asked, DataSpec("digits"), (8, 8, 1))
    assert made.train.image_shape == (8, 8, 1)
    assert made.train.num_classes == 2


def test_what_cannot_be() -> None:
    with pytest.raises(InputError, match="only squares are possible"):
        load_targets(Protocol(transfer=Transfer(("digits",))), DataSpec(), (8, 6, 1))
    with pytest.raises(InputError, match=r"'digit' is unknown\. Did you mean 'digits'"):
        load_targets(Protocol(transfer=Transfer(("digit",))), DataSpec(), (8, 8, 1))
    assert load_targets(Protocol(), DataSpec(), (8, 6, 1)) == []
