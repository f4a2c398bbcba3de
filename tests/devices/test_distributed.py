"""Two real processes on this machine compute what one does; where they are refused."""

import sys
from pathlib import Path

import numpy as np
import pytest

from jaxdd.devices.distributed import Launch, launch
from jaxdd.devices.mesh import make_mesh
from jaxdd.errors import InputError
from jaxdd.records import DistributedConfig
from tests.devices import distributed_program as program
from tests.devices.processes import ends, free_port, start


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The work directory and the results of two processes with two devices each."""
    folder, port = tmp_path_factory.mktemp("two"), free_port()
    words = [sys.executable, "-m", "tests.devices.distributed_program", str(port)]
    processes = [start([*words, str(rank), str(folder)], devices=2) for rank in (0, 1)]
    for ended in ends(processes):
        assert ended.code == 0, ended.err[-3000:]
    with np.load(folder / "results.npz") as arrays:
        return folder, dict(arrays)


def assert_close(found: dict, prefix: str, want: dict, rtol: float) -> None:
    """Each array within a relative error of its largest number."""
    for name, array in want.items():
        there = found[prefix + name]
        assert there.dtype == array.dtype
        scale = np.abs(array).max()
        np.testing.assert_allclose(there, array, rtol=rtol, atol=rtol * scale)


def test_two_processes_train_as_one(two) -> None:
    found = two[1]
    for mesh in (make_mesh(data=4), None):
        want = program.trained(mesh, "float32", None)
        assert want["loss"].shape == (10,)
        assert want["loss"][-1] < want["loss"][0]
        assert_close(found, "float32", want, 1e-5)


def test_two_processes_train_as_one_in_double_precision(two, x64) -> None:
    want = program.trained(None, "float64", None)
    assert want["loss"].dtype == np.float64
    assert_close(two[1], "float64", want, 1e-10)


def test_students_spread_over_processes(two) -> None:
    want = program.students(None)
    assert want["loss"].shape == (10, 4)
    assert_close(two[1], "students", want, 1e-5)


def test_no_images_between_processes(two) -> None:
    """One sum of the gradient and of a few numbers; a batch is as large as that."""
    sent, parameters = two[1]["sent"]
    assert parameters <= sent <= parameters + 16
    image, _ = program.data("float32")
    assert image[: program.RECIPE.batch].nbytes > 16


@pytest.mark.parametrize("devices", [8, 1])
def test_checkpoint_goes_on_other_devices(two, devices: int, tmp_path: Path) -> None:
    """Saved by two processes, a finished stage is read back by one."""
    folder, found = two
    (tmp_path / "checkpoints").symlink_to(folder / "checkpoints")
    mesh = make_mesh(data=devices) if devices > 1 else None
    read = program.trained(mesh, "float32", tmp_path)
    assert not (tmp_path / "metrics.jsonl").exists()  # no step was run
    for name, array in read.items():
        np.testing.assert_array_equal(found[f"float32{name}"], array)


def test_only_the_first_process_writes(two) -> None:
    lines = (two[0] / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == program.STEPS


GOOD = {"coordinator": "10.0.0.1:1234", "processes": 2, "process": 1}


def test_launch_is_read_from_options_and_environment(monkeypatch) -> None:
    for name in ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID"):
        monkeypatch.delenv(name, raising=False)
    assert launch(DistributedConfig()) is None
    want = Launch("10.0.0.1:1234", 2, 1, 300)
    assert launch(DistributedConfig(**GOOD)) == want
    assert launch(DistributedConfig(auto=True)) == Launch(None, None, None, 300)
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "10.0.0.1:1234")
    monkeypatch.setenv("JAX_NUM_PROCESSES", "2")
    assert launch(DistributedConfig(auto=True)) == Launch(None, None, None, 300)
    monkeypatch.setenv("JAX_PROCESS_ID", "1")
    assert launch(DistributedConfig(auto=True)) == want
    assert launch(DistributedConfig()) is None  # the variables alone start nothing
    monkeypatch.setenv("JAX_PROCESS_ID", "one")
    with pytest.raises(InputError, match=r"JAX_PROCESS_ID='one'.*number"):
        launch(DistributedConfig(auto=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coordinator": "a:1"}, r"processes, distributed.process: missing"),
        (GOOD | {"coordinator": "10.0.0.1"}, r"coordinator='10.0.0.1'.*HOST:PORT"),
        (GOOD | {"coordinator": "a:99999"}, r"coordinator='a:99999'"),
        (GOOD | {"processes": 0}, r"distributed.processes=0"),
        (GOOD | {"process": 2}, r"distributed.process=2.*0 to 1"),
        (GOOD | {"process": -1}, r"distributed.process=-1"),
        (GOOD | {"auto": True}, r"distributed.auto together with"),
        (GOOD | {"timeout": 0}, r"distributed.timeout=0"),
    ],
)
def test_launch_that_makes_no_sense_is_named(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        launch(DistributedConfig(**options))
