"""The notebooks run from top to bottom in their short mode, and their pairs agree."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
SCRIPTS = sorted(FOLDER.glob("*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_notebook_runs(script: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "JAXDD_SHORT": "1",
        "MPLBACKEND": "agg",
        "JAXDD_CACHE": str(tmp_path),
        "PYTHONPATH": str(FOLDER.parent),
    }
    done = subprocess.run(
        [sys.executable, str(script)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_pair_is_in_step(script: Path) -> None:
    """The .ipynb holds the same cells (`jupytext --sync notebooks/*.py` renews it)."""
    jupytext = pytest.importorskip("jupytext", reason="a development tool")
    cells = [c.source for c in jupytext.read(script).cells]
    paired = [c.source for c in jupytext.read(script.with_suffix(".ipynb")).cells]
    assert cells == paired


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda p: p.stem)
def test_stored_notebook_shows_pictures(script: Path) -> None:
    """A reader sees figures before running anything."""
    cells = json.loads(script.with_suffix(".ipynb").read_text())["cells"]
    shown = [o for c in cells for o in c.get("outputs", ()) if "data" in o]
    assert any("image/png" in o["data"] for o in shown)
