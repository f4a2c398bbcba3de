"""Sets that format 1 wrote: they load as they were, and measure as they did."""

import hashlib
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxdd import artefact
from jaxdd.data.load import load
from jaxdd.evaluation import verify
from jaxdd.records import to_dict

FOLDER = Path(__file__).with_name("formats") / "format1"
METHODS = ("dd", "krr_ssl", "mtt")


def expected(method: str) -> dict[str, Any]:
    return json.loads((FOLDER / method / "expected.json").read_text())


def hashes(content: Any) -> dict[str, str]:
    """SHA-256 of each array by its path."""
    leaves = jax.tree_util.tree_leaves_with_path(content)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): hashlib.sha256(
            np.ascontiguousarray(leaf).tobytes()
        ).hexdigest()
        for path, leaf in leaves
    }


@pytest.mark.parametrize("method", METHODS)
def test_sets_load_with_their_arrays_and_rows(method: str, tmp_path: Path) -> None:
    distilled, known = artefact.load(FOLDER / method), expected(method)
    found = hashes(artefact._content(distilled))
    assert found == {name: row["sha256"] for name, row in known["arrays"].items()}
    assert to_dict(distilled.meta.rows) == known["rows"]
    saved = artefact.save(distilled, tmp_path / "set")
    assert artefact.load(tmp_path / "set").meta == saved.meta == distilled.meta


@pytest.mark.parametrize(
    "method",
    [pytest.param(n, marks=[] if n == "mtt" else pytest.mark.slow) for n in METHODS],
)
def test_sets_measure_as_they_did(method: str) -> None:
    distilled = artefact.load(FOLDER / method)
    checks = verify(distilled, load(distilled.meta.data))
    known = expected(method)["verify"]
    assert [check.row.metric for check in checks] == [row["metric"] for row in known]
    for check, row in zip(checks, known, strict=True):
        assert check.ok, row
        assert check.recorded == row["recorded"]
        assert check.measured == pytest.approx(row["measured"], rel=0.01)
