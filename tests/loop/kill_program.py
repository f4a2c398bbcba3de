"""The program that `test_kill.py` kills: three stages that feed one another.

Usage: python kill_program.py WORKDIR
"""

import sys
from pathlib import Path

import jax
import numpy as np

from jaxdd import files
from jaxdd.loop.loop import Loop
from tests.loop.toy import make_step, toy_data, toy_state

STAGES = {"target": 120, "distill": 120, "evaluate": 120}


def main(workdir: Path) -> None:
    """Runs the stages, each on what the one before left, and keeps everything."""
    drive = Loop(workdir, chunk=4, save_every=8, config_hash="toy", progress=False)
    step, _ = make_step()
    data, results = toy_data(), {}
    for number, (stage, steps) in enumerate(STAGES.items()):
        state, metrics = drive(step, toy_state(number), steps, data, stage=stage)
        results |= {f"{stage}_{name}": rows for name, rows in metrics.items()}
        results |= {f"{stage}_weight": state.weight, f"{stage}_step": state.step}
        data = {"x": data["x"], "y": data["x"] @ np.asarray(state.weight)}
    results["key"] = jax.random.key_data(state.key)
    files.write_npz(workdir / "results.npz", **results)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
