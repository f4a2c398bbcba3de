"""Which process is gone, told from files."""

import json
import os
import time
from pathlib import Path

import pytest

from jaxdd.devices.hosts import Entry, Hosts


def hosts(folder: Path, rank: int = 0, silence: float = 30.0) -> Hosts:
    return Hosts(folder, rank, 3, pid=77, silence=silence)


def earlier(folder: Path, rank: int, seconds: float) -> None:
    when = time.time() - seconds
    os.utime(folder / f"rank{rank}.json", (when, when))


def test_those_who_live_are_not_to_blame(tmp_path: Path) -> None:
    own = hosts(tmp_path)
    others = [hosts(tmp_path, rank) for rank in (1, 2)]
    assert own.others() == [1, 2]
    assert [own.life(rank) for rank in (1, 2)] == ["lives", "lives"]
    assert own.gone() == []
    assert not own.settled()
    for other in others:
        other.end(0)
    assert own.settled()
    assert own.gone() == []


def test_who_never_came_and_who_fell_silent(tmp_path: Path) -> None:
    hosts(tmp_path, 2)
    earlier(tmp_path, 2, 3600)  # left by an earlier run
    own, other = hosts(tmp_path, silence=5), hosts(tmp_path, 1)
    assert [verdict.rank for verdict in own.gone()] == [2]
    assert "process 2 did not come; in an earlier run" in own.gone()[0].text
    (tmp_path / "rank2.json").unlink()
    assert own.gone()[0].text == "process 2 did not come"
    other.touch()
    ahead = time.time() + 60
    os.utime(tmp_path / "rank0.json", (ahead, ahead))
    assert own.life(1) == "silent"
    host = json.loads((tmp_path / "rank1.json").read_text())["host"]
    silent = own.gone()[0]
    assert silent.text == f"process 1 on host {host} shows no sign of life"


@pytest.mark.parametrize(
    ("theirs", "mine", "text"),
    [
        (-9, -6, "was ended by signal 9"),  # killed; JAX has aborted this one
        (-9, 1, "was ended by signal 9"),
        (2, -6, "ended with code 2"),  # a mistake that only they could see
        (2, 2, ""),  # which all have seen
        (1, 1, ""),
        (-6, -6, ""),  # aborted like this one, because of a third
        (-9, None, "was ended by signal 9"),
        (0, -6, ""),
    ],
)
def test_whose_end_explains_this_one(tmp_path, theirs, mine, text) -> None:
    own = Hosts(tmp_path, 0, 2, pid=77, silence=30)
    Hosts(tmp_path, 1, 2, pid=78, silence=30).end(theirs)
    found = [verdict.text for verdict in own.gone(mine)]
    assert len(found) == bool(text)
    assert text in "".join(found)


def test_files_survive_a_cleared_folder_and_damage(tmp_path: Path) -> None:
    own = hosts(tmp_path)
    entry = json.loads((tmp_path / "rank0.json").read_text())
    assert Entry(**entry).pid == 77
    (tmp_path / "rank0.json").unlink()
    own.touch()
    assert (tmp_path / "rank0.json").exists()
    (tmp_path / "rank1.json").write_text("{")
    assert own.life(1) == "lives"
    assert [verdict.rank for verdict in own.gone()] == [2]
