"""Trajectories on disk: what is written comes back, and damage is named."""

import errno
import json
import os

import numpy as np
import pytest

from jaxdd.errors import InputError
from jaxdd.prepare import expert_recorder
from jaxdd.prepare.expert_recorder import Recorder
from jaxdd.prepare.expert_store import ExpertStore

SHAPE = (3, 4, 5)
ABOUT = {"dataset": "toy"}


def numbers(seed=0):
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


def recorded(folder, count=3):
    """A store with the first experts finished."""
    recorder, values = Recorder(folder, SHAPE, ABOUT), numbers()
    for expert in range(count):
        recorder.write(expert, 0, values[expert, :1])
        recorder.write(expert, 1, values[expert, 1:])
        recorder.finish({expert: 0.5 + expert})
    return recorder


def test_everything_comes_back(tmp_path):
    store, values = recorded(tmp_path / "store").store(), numbers()
    assert (store.num_experts, store.num_epochs, store.num_parameters) == (3, 3, 5)
    assert store.nbytes == values.nbytes
    np.testing.assert_array_equal(store.everything(), values)
    np.testing.assert_array_equal(store.last(), values[:, -1])
    assert store.manifest.finished[2].loss == 2.5
    assert store.manifest.about == ABOUT


def test_pieces_are_read_by_expert_and_epoch(tmp_path):
    store, values = recorded(tmp_path / "store").store(), numbers()
    found = store.read([2, 0, 2], [1, 0, 0], (0, 2))
    want = values[[[2], [0], [2]], [[1, 3], [0, 2], [0, 2]]]
    np.testing.assert_array_equal(found, want)
    assert found.dtype == np.float32
    grid = store.read(np.array([[0, 1], [2, 0]]), 1)
    np.testing.assert_array_equal(grid[:, :, 0], values[[[0, 1], [2, 0]], 1])


@pytest.mark.parametrize(
    ("expert", "start", "offsets", "message"),
    [
        (3, 0, (0,), "has no expert 3; it holds experts 0 to 2"),
        (0, 4, (0,), "has no epoch 4; it holds epochs 0 to 3"),
        (0, 2, (0, 2), "has no epoch 4"),
        (-1, 0, (0,), "has no expert -1"),
    ],
)
def test_beyond_what_is_stored(expert, start, offsets, message, tmp_path):
    store = recorded(tmp_path / "store").store()
    with pytest.raises(InputError, match=message):
        store.read(expert, start, offsets)


def test_a_partial_store_is_never_taken_for_a_whole_one(tmp_path):
    recorded(tmp_path / "store", count=2)
    with pytest.raises(InputError, match="2 of 3 experts"):
        ExpertStore(tmp_path / "store")
    again = Recorder(tmp_path / "store", SHAPE, ABOUT)
    assert again.missing == [2]
    again.write(2, 0, numbers()[2])
    again.finish({2: None})
    np.testing.assert_array_equal(again.store().everything(), numbers())


def test_a_truncated_file(tmp_path):
    recorded(tmp_path / "store")
    path = tmp_path / "store" / "snapshots.f32"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"232 bytes and needs 240.*truncated"):
        ExpertStore(tmp_path / "store")
    path.unlink()
    with pytest.raises(InputError, match="has 0 bytes"):
        ExpertStore(tmp_path / "store")


def test_a_truncated_file_of_a_partial_store(tmp_path):
    recorded(tmp_path / "store", count=1)
    path = tmp_path / "store" / "snapshots.f32"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="truncated"):
        Recorder(tmp_path / "store", SHAPE, ABOUT)


def test_a_damaged_snapshot_is_named_when_it_is_read(tmp_path):
    recorded(tmp_path / "store")
    path = tmp_path / "store" / "snapshots.f32"
    data = bytearray(path.read_bytes())
    data[4 * 5 * (1 * 4 + 2)] ^= 1  # expert 1, epoch 2
    path.write_bytes(data)
    store = ExpertStore(tmp_path / "store")
    store.read(1, 0, (0, 1, 3))
    with pytest.raises(InputError, match="expert 1 at epoch 2"):
        store.read(1, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [3, 4]},
        {"finished": {"0": {"loss": 1, "checks": [1]}}},
        {"finished": {"7": {"loss": 1, "checks": [1, 2, 3, 4]}}},
        {"finished": 3},
        {"format": 9},
    ],
)
def test_a_damaged_manifest(change, tmp_path):
    recorded(tmp_path / "store")
    path = tmp_path / "store" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=r"manifest\.json"):
        ExpertStore(tmp_path / "store")


def test_a_store_of_another_size_is_not_overwritten(tmp_path):
    recorded(tmp_path / "store")
    with pytest.raises(InputError, match=r"holds \(3, 4, 5\)"):
        Recorder(tmp_path / "store", (4, 4, 5), ABOUT)
    np.testing.assert_array_equal(
        ExpertStore(tmp_path / "store").everything(), numbers()
    )


def test_a_full_disk_keeps_what_is_finished(tmp_path, monkeypatch):
    recorder = recorded(tmp_path / "store", count=2)

    def full(handle, rows):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(expert_recorder, "_write", full)
        with pytest.raises(
            InputError, match=r"snapshots\.f32: No space left.*are kept"
        ):
            recorder.write(2, 0, numbers()[2])
    again = Recorder(tmp_path / "store", SHAPE, ABOUT)
    assert again.missing == [2]
    again.write(2, 0, numbers()[2])
    again.finish({2: 0.0})
    np.testing.assert_array_equal(again.store().everything(), numbers())


def test_too_little_space_is_said_before_anything_is_trained(tmp_path, monkeypatch):
    usage = type("usage", (), {"free": 100})
    monkeypatch.setattr(expert_recorder.shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(InputError, match="240 bytes and 100 are free"):
        Recorder(tmp_path / "store", SHAPE, ABOUT)
    assert not (tmp_path / "store" / "manifest.json").exists()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot write"):
        Recorder(tmp_path / "file" / "store", SHAPE, ABOUT)


def test_states_to_go_on_from(tmp_path):
    recorder = Recorder(tmp_path / "store", SHAPE, ABOUT)
    assert recorder.begun([1]) is None
    recorder.keep([0, 1], 2, [np.arange(6).reshape(2, 3), np.float32([0.5, 1])])
    begun = recorder.begun([0, 1])
    assert begun.epoch == 2
    np.testing.assert_array_equal(begun.leaves[0], np.arange(6).reshape(2, 3))
    assert recorder.begun([0]) is None  # others were trained together
    state = tmp_path / "store" / "state-0-1.npz"
    state.write_bytes(state.read_bytes()[:-30])
    assert recorder.begun([0, 1]) is None  # damaged: they start anew
    for expert in range(3):
        recorder.write(expert, 0, numbers()[expert])
    recorder.finish({2: 0.0})
    assert state.exists()
    recorder.finish({0: 0.0, 1: 0.0})
    assert not state.exists()
