"""A dead process, one that never comes, and mistakes, on the real command line."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from tests.devices.processes import (
    PATIENCE,
    Ended,
    command,
    ends,
    free_port,
    start,
)
from tests.loop.kill import metrics_rows

OPTIONS = (
    "--method dm --smoke --students 2 --run.no-progress --run.devices 0 --run.steps 60"
    " --run.chunk 3 --run.save-every 6 --distributed.timeout 600"
)


def words(workdir: Path, *more: str) -> list[str]:
    places = ["--workdir", str(workdir), "--run.cache", str(workdir.parent / "cache")]
    return command(*OPTIONS.split(), *places, *more)


def of_two(workdir: Path, rank: int, port: int) -> list[str]:
    meeting = f"--distributed.coordinator 127.0.0.1:{port} --distributed.processes 2"
    return words(workdir, *meeting.split(), "--distributed.process", str(rank))


def kill_when_running(workdir: Path, rank: int) -> None:
    """Kills the JAX process of a rank once a checkpoint has followed a few steps."""
    checkpoints, limit = (
        workdir / "checkpoints" / "distill",
        time.monotonic() + PATIENCE,
    )
    while not any(p.name.isdigit() for p in checkpoints.glob("*")):
        assert time.monotonic() < limit, "no checkpoint was written"
        time.sleep(0.02)
    entry = json.loads((workdir / "hosts" / f"rank{rank}.json").read_text())
    os.kill(entry["pid"], signal.SIGKILL)


def start_two(workdir: Path) -> list:
    port = free_port()
    return [start(of_two(workdir, rank, port), devices=2) for rank in (0, 1)]


@pytest.mark.slow
def test_dead_process_is_named_and_the_run_goes_on(tmp_path: Path) -> None:
    alone = start(words(tmp_path / "one"), devices=4)
    assert [ended.code for ended in ends([alone])] == [0]
    killed = start_two(tmp_path / "two")
    kill_when_running(tmp_path / "two", rank=1)
    survivor, dead = ends(killed)
    host = os.uname().nodename
    assert survivor.code == 1
    assert f"process 1 on host {host} was ended by signal 9" in survivor.err
    assert "same command on each of them goes on" in survivor.err
    assert dead.code == 1
    assert not (tmp_path / "two" / "report.json").exists()
    resumed = ends(start_two(tmp_path / "two"))
    assert [ended.code for ended in resumed] == [0, 0], resumed[0].err[-3000:]
    assert_wrote_as_one(tmp_path, resumed)


def assert_wrote_as_one(folder: Path, ended: list[Ended]) -> None:
    """Set and rows are those of the one process, and only the first has spoken."""
    one, two = folder / "one", folder / "two"
    with (
        np.load(one / "set" / "arrays.npz") as want,
        np.load(two / "set" / "arrays.npz") as found,
    ):
        assert want.files == found.files
        for name in want.files:
            np.testing.assert_allclose(found[name], want[name], rtol=1e-4, atol=1e-4)
    rows = [json.loads((p / "report.json").read_text())["rows"] for p in (one, two)]
    assert [(r["set"], r["metric"]) for r in rows[0]] == [
        (r["set"], r["metric"]) for r in rows[1]
    ]
    for want, found in zip(*rows, strict=True):
        assert found["mean"] == pytest.approx(want["mean"], abs=0.03)
    steps = [
        sorted((row["stage"], row["step"]) for row in metrics_rows(place))
        for place in (one, two)
    ]
    assert steps[0] == steps[1]
    assert "report:" in ended[0].out
    assert "report:" not in ended[1].out


def test_process_that_never_comes_is_named(tmp_path: Path) -> None:
    lonely = of_two(tmp_path / "run", 0, free_port())
    (ended,) = ends([start([*lonely, "--distributed.timeout", "3"])])
    assert ended.code == 1
    assert "process 1 did not come" in ended.err
    assert not (tmp_path / "run" / "config.json").exists()


def test_signal_reaches_the_child(tmp_path: Path) -> None:
    port = free_port()
    waits = start(of_two(tmp_path / "run", 0, port))
    entry = tmp_path / "run" / "hosts" / "rank0.json"
    limit = time.monotonic() + PATIENCE
    while not entry.exists():
        assert time.monotonic() < limit
        time.sleep(0.05)
    child = json.loads(entry.read_text())["pid"]
    waits.send_signal(signal.SIGTERM)
    (ended,) = ends([waits])
    assert ended.code == 1
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


def test_mistakes_are_told_before_anything_starts(tmp_path: Path, capsys) -> None:
    from jaxdd.run import cli

    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "letter.txt").write_text("dear")
    assert cli.main(of_two(folder, 0, 1)[2:]) == 2
    assert "holds files but no config.json" in capsys.readouterr().err
    assert [p.name for p in folder.iterdir()] == ["letter.txt"]
    assert cli.main(of_two(tmp_path / "new", 7, 1)[2:]) == 2
    assert "distributed.process=7" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
