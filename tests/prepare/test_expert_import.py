"""The published files of trajectories, read without PyTorch.

`buffers/` is written by experiments/reference/trajectory/experts_torch.py with the
network and the training function of GeorgeCazenavette/mtt-distillation at commit
50dccea (MIT).
"""

import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Dataset
from jaxdd.errors import InputError
from jaxdd.foreign import torch_file
from jaxdd.prepare import expert_import
from jaxdd.prepare.expert_course import expert_network, unravelled
from jaxdd.prepare.expert_import import buffer_files
from jaxdd.records import (
    ConvNet,
    Experts,
    ExpertsNeed,
    ViT,
)
from jaxdd.training import scan_drive
from tests.helpers import toy_corpus
from tests.prepare.cases import prepare, replaced

HERE = Path(__file__).parent / "buffers"
THEIRS = Experts(ConvNet(width=(4,)), epochs=1, count=2, buffers=HERE)


def dataset():
    return Dataset(toy_corpus(classes=3, channels=3, per_class=4), None)


def imported(experts, data=None, **options):
    return prepare(ExpertsNeed(experts), data or dataset(), **options)


def test_every_snapshot_gives_the_logits_of_pytorch():
    asset, quality = imported(THEIRS)
    assert quality == {}
    assert asset.snapshots.shape == (2, 2, 315)
    network = expert_network(THEIRS, dataset().train)
    with np.load(HERE / "logits.npz") as file:
        image, logits = jnp.asarray(file["image"]), file["logits"]
    for expert in range(2):
        for epoch in range(2):
            variables = unravelled(network)(asset.snapshots[expert, epoch])
            found = network.apply(variables, image)[0].logits
            np.testing.assert_allclose(found, logits[expert, epoch], atol=2e-5)
    assert np.abs(logits[0, 0] - logits[0, 1]).max() > 1e-3


def test_imported_trajectories_are_kept(tmp_path, monkeypatch):
    asset, _ = imported(THEIRS, cache=tmp_path)
    monkeypatch.setattr(expert_import, "_read", None)
    again, _ = imported(THEIRS, cache=tmp_path)
    np.testing.assert_array_equal(again.snapshots, asset.snapshots)


def test_a_folder_of_files_in_their_order(tmp_path):
    for number in (0, 2, 10):
        shutil.copy(
            HERE / "replay_buffer_0.pt", tmp_path / f"replay_buffer_{number}.pt"
        )
    names = [path.name for path in buffer_files(tmp_path)]
    assert names == [f"replay_buffer_{number}.pt" for number in (0, 2, 10)]
    experts = replaced(THEIRS, buffers=tmp_path, count=5)
    asset, _ = imported(experts)
    assert asset.last.shape == (5, 315)
    np.testing.assert_array_equal(asset.last[0], asset.last[4])
    one = replaced(THEIRS, buffers=tmp_path / "replay_buffer_2.pt", epochs=0, count=1)
    with pytest.raises(InputError, match=r"experts\.epochs=0"):
        imported(one)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 3}, r"experts.count=3: .* holds 2 experts; set it to at most 2"),
        ({"epochs": 2}, r"experts.epochs=2: .* has 2 snapshots, so set .* at most 1"),
        (
            {"network": ConvNet(width=(5,))},
            r"tensor 0 is \[4, 3, 3, 3\] and .*\[5,",
        ),
        (
            {"network": ConvNet(width=(4, 4))},
            "has 6 tensors and the network here 10",
        ),
        (
            {"network": ViT(width=(8,), norm="layer", heads=2)},
            "read for convnet and mlp",
        ),
        ({"buffers": HERE / "missing"}, "expected a replay_buffer_N.pt"),
        ({"buffers": HERE / "logits.npz"}, "no PyTorch checkpoint"),
    ],
)
def test_files_that_do_not_fit(change, message):
    with pytest.raises(InputError, match=message):
        imported(replaced(THEIRS, **change))


def test_images_of_another_size_do_not_fit():
    data = dataset()
    grey = data._replace(train=toy_corpus(classes=3, channels=1, per_class=4))
    with pytest.raises(InputError, match=r"tensor 0 is \[4, 3, 3, 3\].*\[4, 1, 3, 3\]"):
        imported(THEIRS, grey)


def test_a_truncated_buffer(tmp_path):
    data = (HERE / "replay_buffer_0.pt").read_bytes()
    path = tmp_path / "replay_buffer_0.pt"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"replay_buffer_0\.pt"):
        imported(replaced(THEIRS, buffers=path), cache=tmp_path / "cache")
    path.write_bytes(data)
    asset, _ = imported(replaced(THEIRS, buffers=path), cache=tmp_path / "cache")
    assert asset.last.shape == (2, 315)


def _altered(monkeypatch, change):
    """What the file holds, altered by `change(trajectories)`."""
    tree = torch_file.read(HERE / "replay_buffer_0.pt")
    monkeypatch.setattr(torch_file, "read", lambda path: change(tree))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: [[one[0]] * 2 for one in t], "all its snapshots are equal"),
        (lambda t: {"experts": t}, "no list of trajectories but dict"),
        (lambda t: [[{"a": 1}] * 2], "a snapshot is dict"),
        (lambda t: [[["a"]] * 2], "a snapshot holds str"),
        (lambda t: [[[a * np.nan for a in s] for s in e] for e in t], "not finite"),
    ],
)
def test_what_a_file_must_hold(change, message, monkeypatch):
    _altered(monkeypatch, change)
    with pytest.raises(InputError, match=message):
        imported(THEIRS, drive=scan_drive)
