"""Writes docs/results.md: what presets are held to beside what was measured.

python experiments/figures.py           # or: make docs

The figures are the `expected` of the presets; the measured ones come from
experiments/results/*.json.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxdd import methods, presets
from jaxdd.records import Expected

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
PAGE = HERE.parent / "docs" / "results.md"
INTRO = """# Figures

Written by `make docs` from the presets' expected figures and `experiments/results/`;
a test compares those that are reproduced with their files. A preset runs by
`python experiments/run.py --method METHOD --preset NAME`, one with a file also by
`make results ONLY=FILE`. Pending: published, not run here. Prototype: measured here
before, and no file is kept.
"""


def main() -> None:
    """Writes the page."""
    parts = [INTRO]
    for family, names in methods.families().items():
        rows = [row for name in names for row in _rows(name)]
        if rows:
            parts += [f"## {family}\n", _table(rows)]
    PAGE.write_text("\n".join(parts))
    print("wrote", PAGE.relative_to(HERE.parent))


def figure(
    rows: list[dict[str, Any]], method: str, metric: str
) -> tuple[float, float | None]:
    """Mean and deviation of a metric of `Expected`; a ratio has no deviation.

    Args:
      rows: of a result file.
      method: whose set it is.
      metric: as `Expected.metric` spells it.
    """
    name, ratio, _ = metric.partition(" / random row")
    name, _, network = name.partition(", ")
    network = network or rows[0]["network"]
    found = {
        row["set"]: row
        for row in rows
        if (row["metric"], row["network"]) == (name, network)
    }
    if ratio:
        return found[method]["mean"] / found["random"]["mean"], None
    return found[method]["mean"], found[method]["std"]


def _rows(method: str) -> Iterator[tuple[str, ...]]:
    for name, preset in presets.get(method).items():
        for expected in preset.expected:
            what = ", ".join(filter(None, (expected.metric, expected.note)))
            said = (method, name, what, _shown(expected.value, expected.metric))
            yield *said, expected.source, *_measured(method, expected)


def _measured(method: str, expected: Expected) -> tuple[str, str]:
    """The measured figure with its file, or what stands in its place."""
    if not expected.result:
        return expected.status, ""
    path = RESULTS / f"{expected.result}.json"
    rows = json.loads(path.read_text())["rows"]
    mean, deviation = figure(rows, method, expected.metric)
    link = f"[{path.stem}](../experiments/results/{path.name})"
    return _shown(mean, expected.metric, deviation), link


def _shown(mean: float, metric: str, deviation: float | None = None) -> str:
    """A share in percent, a ratio as it is."""
    if metric.endswith("random row"):
        return f"{mean:.2f}"
    return f"{100 * mean:.1f}{f' ± {100 * deviation:.1f}' if deviation else ''} %"


def _table(rows: list[tuple[str, ...]]) -> str:
    heads = ("method", "preset", "metric", "expected", "source", "measured", "file")
    lines = [heads, ("---",) * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


if __name__ == "__main__":
    main()
