"""The real command, killed nine times, ends with the bits of an uninterrupted run."""

import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.flags import QUICK_TO_COMPILE
from tests.loop.kill import (
    assert_same_rows,
    kill_at,
    kill_moments,
    metrics_rows,
    run_to_end,
)

ROOT = Path(__file__).resolve().parents[2]
SEED = 3
STAGES = ("target", "distill", "evaluate")
OPTIONS = (
    "--method krr_ssl --smoke --run.no-progress --run.steps 60 --run.save-every 6"
    " --distill.teacher.recipe.steps 60 --evaluate.train.steps 40"
    " --evaluate.probe.steps 20 --evaluate.fine-tune.steps 20"
)


@pytest.mark.slow
def test_killed_command_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    env = os.environ | {"XLA_FLAGS": QUICK_TO_COMPILE}

    def command(name: str) -> list[str]:
        places = ["--workdir", str(tmp_path / name)]
        places += ["--run.cache", str(tmp_path / f"{name}-cache")]
        script = str(ROOT / "experiments" / "run.py")
        return [sys.executable, script, *OPTIONS.split(), *places]

    alone, killed = tmp_path / "alone", tmp_path / "killed"
    run_to_end(command("alone"), env)
    # The compiled programs, and nothing else, are shared: starting again is quicker.
    shutil.copytree(
        tmp_path / "alone-cache" / "programs", tmp_path / "killed-cache" / "programs"
    )
    rows = Counter(row["stage"].split("/")[0] for row in metrics_rows(alone))
    stages = {stage: rows[stage] for stage in STAGES}
    kills = Counter()
    for moment in kill_moments(stages, kills=3, seed=SEED):
        kills[moment.stage] += kill_at(command("killed"), killed, moment, env) == (
            "killed"
        )
    assert kills == dict.fromkeys(STAGES, 3)
    assert not (killed / "report.json").exists()
    run_to_end(command("killed"), env)
    assert_same_rows(alone, killed)
    with (
        np.load(alone / "set" / "arrays.npz") as one,
        np.load(killed / "set" / "arrays.npz") as two,
    ):
        assert one.files == two.files
        for name in one.files:
            assert one[name].tobytes() == two[name].tobytes(), name
    reports = [json.loads((p / "report.json").read_text()) for p in (alone, killed)]
    assert reports[0]["rows"] == reports[1]["rows"]
    assert reports[0]["teacher"] == reports[1]["teacher"]
