"""A run killed in each stage ends with the same bits as one that was left alone."""

import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.flags import QUICK_TO_COMPILE
from tests.loop.kill import assert_same_rows, kill_at, kill_moments, run_to_end
from tests.loop.kill_program import STAGES

ROOT = Path(__file__).resolve().parents[2]
SEED = 20261122


@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_killed_run_ends_as_if_nothing_had_happened(tmp_path: Path, times: int) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    env["XLA_FLAGS"] = QUICK_TO_COMPILE  # one device: starts faster

    def command(workdir: Path) -> list[str]:
        return [sys.executable, "-m", "tests.loop.kill_program", str(workdir)]

    alone, killed = tmp_path / "alone", tmp_path / "killed"
    run_to_end(command(alone), env)
    kills, saved = Counter(), Counter()
    moments = kill_moments(STAGES, kills=3, seed=SEED)
    for moment in moments if times == 3 else moments[1::3]:  # after the first saves
        kills[moment.stage] += kill_at(command(killed), killed, moment, env) == "killed"
        folder = killed / "checkpoints" / moment.stage
        saved[moment.stage] += any(p.name.isdigit() for p in folder.iterdir())
    assert kills == dict.fromkeys(STAGES, times)
    assert min(saved.values()) >= min(times, 2)  # it did go on, and did not begin again
    assert not (killed / "results.npz").exists()
    run_to_end(command(killed), env)
    with np.load(alone / "results.npz") as one, np.load(killed / "results.npz") as two:
        assert one.files == two.files
        for name in one.files:
            assert one[name].tobytes() == two[name].tobytes(), name
    assert_same_rows(alone, killed)
