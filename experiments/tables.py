"""Writes the results section of README.md from experiments/results/.

python experiments/tables.py            # or: make docs
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

from jaxdd.evaluation import is_krr
from jaxdd.records import Row, from_dict
from jaxdd.report.tables import Cell, markdown, spread

HERE = Path(__file__).resolve().parent
README = HERE.parent / "README.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
UNTOLD = ("calibration_error", "ridge", "ridge_retries")  # in the files and reports
KINDS = ("best", "median")
SIDES = (
    ("", "ours", "theirs"),
    ("", "ours", "neural-tangents"),
    (", forward", "ours, forward", "theirs, forward"),
    (", gradient", "ours, gradient", "theirs, gradient"),
)
"""What a benchmark's name is given, and where its rows keep the two sides; those of kip
named neural-tangents before all rows called the other program theirs."""
SETS = ("random", "kmeans", "class_mean", "full", "scratch")


def main() -> None:
    """Replaces everything between the two markers."""
    text = README.read_text()
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    body = "\n\n".join(filter(None, (_quality(), _architectures(), _speed())))
    README.write_text(f"{head}{BEGIN}\n{body}\n{END}{tail}")
    print("wrote", README.name)


def _quality() -> str:
    """One line per finished run and metric."""
    lines = []
    for path in sorted((HERE / "results").glob("*.json")):
        whole = _rows_of(json.loads(path.read_text()))
        first = whole[0].network
        for network in dict.fromkeys(row.network for row in whole):
            rows = [row for row in whole if row.network == network]
            by_kernel = is_krr(rows[0])
            if network != first and not by_kernel:
                continue  # in a table of its own
            for metric in dict.fromkeys(row.metric for row in rows):
                if metric not in UNTOLD:
                    label = f"{metric} by {network}" if by_kernel else metric
                    lines.append(_line(path.stem, metric, label, rows))
    return markdown(("run", "metric", "the set", *SETS), lines) if lines else ""


def _architectures() -> str:
    """Networks by runs that have several, test accuracy of set and random subset."""
    tables = []
    for path in sorted((HERE / "results").glob("*_architectures.json")):
        result = json.loads(path.read_text())
        rows = [row for row in _rows_of(result) if row.metric == "accuracy"]
        cells = {(row.network, row.set): row for row in rows}
        sets = list(dict.fromkeys(row.set for row in rows))
        minutes = sum(result["seconds"].values()) / 60
        time = f", {minutes:.0f} min" if minutes >= 1 else ""  # else it was resumed
        lines = []
        for network in dict.fromkeys(row.network for row in rows):
            shown = [_cell(cells.get((network, name))) for name in sets]
            seeds = str(cells[network, sets[0]].seeds)
            lines.append([Cell(network), *shown, Cell(seeds)])
        name = f"[{path.stem}](experiments/results/{path.name}){time}"
        tables.append(markdown((name, *sets, "students"), lines))
    return "\n\n".join(tables)


def _rows_of(result: dict[str, Any]) -> tuple[Row, ...]:
    return from_dict(tuple[Row, ...], result["rows"])


def _line(name: str, metric: str, label: str, rows: list[Row]) -> list[Cell]:
    by_set = {row.set: row for row in rows if row.metric == metric}
    own = next((row for key, row in by_set.items() if key not in SETS), None)
    return [
        Cell(f"[{name}](experiments/results/{name}.json)"),
        Cell(label),
        _cell(own)._replace(own=True),
        *(_cell(by_set.get(key)) for key in SETS),
    ]


def _cell(row: Row | None) -> Cell:
    """Mean and deviation, briefly: one sign of percent for both."""
    return Cell("" if row is None else spread(row).replace(" % ±", " ±"))


def _speed() -> str:
    """The newest row of every benchmark that measures another program beside ours."""
    newest: dict[str, dict[str, Any]] = {}
    for path in sorted((HERE / "results").glob("bench_*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            newest[row.get("benchmark", "")] = row
    lines = []
    for name, row in newest.items():
        for part, ours, theirs in SIDES:
            if ours in row and theirs in row:
                seconds = [_measured(row, who) for who in (ours, theirs)]
                of = partial(_speed_of, row, part, ours, theirs)
                ratios = [f"{of(kind):.2f}x" for kind in KINDS]
                lines.append(map(Cell, (f"{name}{part}", *seconds, *ratios)))
    heads = ("benchmark", "ours", "other program", "speed, best", "median")
    return markdown(heads, lines) if lines else ""


def _speed_of(
    row: dict[str, Any], part: str, ours: str, theirs: str, kind: str
) -> float:
    """How many times as fast ours is, by the `kind` of its turns."""
    if f"speed{part}, {kind}" in row:
        return row[f"speed{part}, {kind}"]
    return row[theirs][kind] / row[ours][kind]


def _measured(row: dict[str, Any], who: str) -> str:
    """The best turn, in seconds unless the row says otherwise."""
    best, unit = row[who]["best"], row.get("settings", {}).get("unit", "")
    return (
        f"{best:,.0f} images/s"
        if unit.startswith("images")
        else f"{best:.4f} s"
        if best < 0.01
        else f"{best:.3f} s"
    )


if __name__ == "__main__":
    main()
