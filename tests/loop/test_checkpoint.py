"""Checkpoints: what they hold, what they refuse, and a disk that cannot take them."""

import logging
import re
import resource
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.devices.mesh import make_mesh
from jaxdd.errors import InputError
from jaxdd.loop.checkpoint import Checkpoints
from jaxdd.loop.log import read_metrics
from jaxdd.loop.loop import Loop
from tests.loop.toy import assert_same, make_step, toy_data, toy_state


class Inner(NamedTuple):
    count: jax.Array
    nothing: tuple


@pytest.fixture
def state():
    return {
        "params": [jnp.arange(6.0).reshape(2, 3), jnp.zeros((0, 4))],
        "half": jnp.ones(3, jnp.bfloat16),
        "key": jax.random.key(3),
        "keys": jax.random.split(jax.random.key(1, impl="rbg"), 2),
        "opt": Inner(jnp.asarray(7), ()),
        "none": None,
        "flag": jnp.asarray(True),
    }


METRICS = {"loss": np.float32([0.1, 0.2]), "wide": np.zeros((2, 3), np.int32)}


def stage(folder: Path, config_hash: str = "h") -> Checkpoints:
    return Checkpoints(folder, "a/b", 10, config_hash)


def test_round_trip_keeps_everything(tmp_path, state) -> None:
    with stage(tmp_path) as store:
        assert store.restore(state) is None
        store.save(2, state, METRICS)
    like = jax.tree.map(jnp.zeros_like, state, is_leaf=lambda x: False)
    like |= {"key": jax.random.key(0), "keys": state["keys"][::-1]}
    with stage(tmp_path) as store:
        step, restored, metrics = store.restore(like)
    assert step == 2
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    assert_same(restored, state)
    assert_same(metrics, METRICS)
    assert all(isinstance(rows, np.ndarray) for rows in metrics.values())
    assert not restored["half"].committed
    # The keys draw the same numbers.
    draw = jax.vmap(jax.random.normal)
    np.testing.assert_array_equal(draw(restored["keys"]), draw(state["keys"]))


def test_only_the_latest_is_kept(tmp_path, state) -> None:
    with stage(tmp_path) as store:
        for step in (2, 4, 6):
            store.save(step, state, METRICS)
    assert [p.name for p in (tmp_path / "a__b").iterdir()] == ["6"]


def test_arrays_come_back_where_they_belong(tmp_path) -> None:
    mesh = make_mesh()
    rows = jax.sharding.NamedSharding(mesh, jax.P("data"))
    whole = jax.sharding.NamedSharding(mesh, jax.P())
    values = np.arange(16.0, dtype=np.float32)
    with stage(tmp_path) as store:
        store.save(2, {"a": jnp.asarray(values)}, {})
    for place in (rows, whole):
        with stage(tmp_path) as store:
            saved = store.restore({"a": jax.device_put(np.zeros(16, "f4"), place)})
        assert saved is not None
        assert saved.state["a"].sharding == place
        np.testing.assert_array_equal(saved.state["a"], values)


def test_another_program_is_refused(tmp_path, state) -> None:
    with stage(tmp_path) as store:
        store.save(2, state, METRICS)
    cases = [
        (state | {"half": jnp.ones(4)}, r"state\['half'\] is bfloat16\[3\] there"),
        (state | {"more": jnp.ones(4)}, r"\['more'\] is absent there and float32\[4\]"),
        (
            {n: leaf for n, leaf in state.items() if n != "flag"},
            r"\['flag'\] is bool\[\] there and absent now",
        ),
    ]
    with stage(tmp_path) as store:
        for like, message in cases:
            with pytest.raises(InputError, match=message):
                store.restore(like)
    with (
        stage(tmp_path, "other") as store,
        pytest.raises(InputError, match="config_hash is 'h' there and 'other' now"),
    ):
        store.restore(state)


def test_half_written_save_is_ignored(tmp_path, state) -> None:
    with stage(tmp_path) as store:
        store.save(2, state, METRICS)
    folder = tmp_path / "a__b"
    shutil.copytree(folder / "2", folder / "4.orbax-checkpoint-tmp")
    shutil.rmtree(folder / "4.orbax-checkpoint-tmp" / "arrays" / "d")
    with stage(tmp_path) as store:
        saved = store.restore(state)
        assert saved is not None
        assert saved.step == 2
        store.save(4, state, METRICS)
    assert [p.name for p in folder.iterdir()] == ["4"]


@pytest.mark.parametrize("left", ["_CHECKPOINT_METADATA", "meta", "arrays"])
def test_half_removed_checkpoint_is_ignored(tmp_path, state, left: str) -> None:
    with stage(tmp_path) as store:
        store.save(2, state, METRICS)
    folder = tmp_path / "a__b"
    shutil.copytree(folder / "2", tmp_path / "copy")
    with stage(tmp_path) as store:
        store.save(4, state, METRICS)
    (folder / "2").mkdir()  # as a kill leaves it that comes while "2" is removed
    if (tmp_path / "copy" / left).is_dir():
        shutil.copytree(tmp_path / "copy" / left, folder / "2" / left)
    else:
        shutil.copy(tmp_path / "copy" / left, folder / "2" / left)
    with stage(tmp_path) as store:
        saved = store.restore(state)
        assert saved is not None
        assert saved.step == 4
        store.save(6, state, METRICS)
    assert [p.name for p in folder.iterdir()] == ["6"]


def test_damaged_checkpoint_is_named(tmp_path, state) -> None:
    with stage(tmp_path) as store:
        store.save(2, state, METRICS)
    for path in (tmp_path / "a__b" / "2").rglob("*"):
        if path.is_file() and path.parent.name == "d":
            path.write_bytes(path.read_bytes()[:10])
    with (
        stage(tmp_path) as store,
        pytest.raises(InputError, match=r"a__b/2 cannot be read.*Remove .*a__b"),
    ):
        store.restore(state)


def test_folder_that_cannot_be_made(tmp_path) -> None:
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot save stage 's' in .*Not a directory"):
        Loop(tmp_path, progress=False)(
            make_step()[0], toy_state(), 4, toy_data(), stage="s"
        )


class Fill:
    """Fills the disk, as far as a process can tell, once a stage has come so far."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_chunk(self, stage, step, state, metrics) -> None:
        if step >= self.step:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, hard))


@pytest.fixture
def room():
    """Gives the disk its room back."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def give() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    yield give
    give()


@pytest.mark.parametrize("first", ["checkpoint", "metrics.jsonl"])
def test_disk_that_fills_up_loses_nothing(tmp_path, room, first: str) -> None:
    step, _ = make_step()

    def big(state, data):  # too large to be saved on the full disk
        toy, ballast = state
        toy, metrics = step(toy, data)
        return (toy, ballast + 1), metrics

    start = toy_state(), jax.random.normal(jax.random.key(0), (3000,))

    def drive(workdir=None, hooks=()):
        save_every = 0 if first == "metrics.jsonl" else 4
        return Loop(
            workdir, chunk=2, save_every=save_every, hooks=hooks, progress=False
        )

    what = "cannot save stage 's'" if first == "checkpoint" else "cannot write .*jsonl"
    with pytest.raises(
        InputError, match=rf"(?s){what}.*File too large.*same command"
    ) as e:
        drive(tmp_path, [Fill(9)])(big, start, 40, toy_data(), stage="s")
    room()
    if first == "checkpoint":
        kept = re.search(r"the checkpoint of step (\d+) is intact", str(e.value))
        assert kept
        assert (tmp_path / "checkpoints" / "s" / kept[1]).is_dir()
    result = drive(tmp_path)(big, start, 40, toy_data(), stage="s")
    assert_same(result, drive()(big, start, 40, toy_data(), stage="s"))
    rows = read_metrics(tmp_path / "metrics.jsonl")["s"]
    assert rows["step"].tolist() == list(range(40))


def test_only_an_open_store_silences_others(tmp_path) -> None:
    logger, hook = logging.getLogger("absl"), sys.unraisablehook
    level = logger.level
    with Checkpoints(tmp_path, "s", 4, "hash"):
        assert logger.level == logging.CRITICAL
    assert logger.level == level
    assert sys.unraisablehook is hook
