"""Writes the results section of README.md from experiments/results/.

python experiments/tables.py            # or: make docs
"""

import json
from pathlib import Path
from typing import Any

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
    lines = [
        "| run | metric | the set | " + " | ".join(SETS) + " |",
        "| --- " * (len(SETS) + 3) + "|",
    ]
    for path in sorted((HERE / "results").glob("*.json")):
        result = json.loads(path.read_text())
        first = result["rows"][0]["network"]
        for network in dict.fromkeys(row["network"] for row in result["rows"]):
            by_kernel = network.startswith("krr ")
            if network != first and not by_kernel:
                continue  # in a table of its own
            rows = [row for row in result["rows"] if row["network"] == network]
            for metric in dict.fromkeys(row["metric"] for row in rows):
                if metric not in UNTOLD:
                    label = f"{metric} by {network}" if by_kernel else metric
                    lines.append(_line(path.stem, metric, label, rows))
    return "\n".join(lines) if len(lines) > 2 else ""


def _architectures() -> str:
    """Networks by runs that have several, test accuracy of set and random subset."""
    tables = []
    for path in sorted((HERE / "results").glob("*_architectures.json")):
        result = json.loads(path.read_text())
        rows = [row for row in result["rows"] if row["metric"] == "accuracy"]
        cells = {(row["network"], row["set"]): row for row in rows}
        sets = list(dict.fromkeys(row["set"] for row in rows))
        minutes = sum(result["seconds"].values()) / 60
        time = f", {minutes:.0f} min" if minutes >= 1 else ""  # else it was resumed
        lines = [
            f"| [{path.stem}](experiments/results/{path.name}){time} |"
            f" {' | '.join(sets)} | students |",
            "| --- " * (len(sets) + 2) + "|",
        ]
        for network in dict.fromkeys(row["network"] for row in rows):
            shown = " | ".join(_cell(cells.get((network, name))) for name in sets)
            seeds = cells[network, sets[0]]["seeds"]
            lines.append(f"| {network} | {shown} | {seeds} |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _line(name: str, metric: str, label: str, rows: list[dict[str, Any]]) -> str:
    found = {row["set"]: row for row in rows if row["metric"] == metric}
    own = next((row for key, row in found.items() if key not in SETS), None)
    cells = [_cell(own), *(_cell(found.get(key)) for key in SETS)]
    return f"| [{name}](experiments/results/{name}.json) | {label} | " + " | ".join(
        [f"**{cells[0]}**" if own else "", *cells[1:]]
    ) + " |"  # fmt: skip


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    if row["metric"] == "representation_mse":
        return f"{row['mean']:.3f} ± {row['std']:.3f}"
    if row["seeds"] == 1:
        return f"{100 * row['mean']:.1f} %"
    return f"{100 * row['mean']:.1f} ± {100 * row['std']:.1f} %"


def _speed() -> str:
    """The newest row of every benchmark that measures another program beside ours."""
    newest: dict[str, dict[str, Any]] = {}
    for path in sorted((HERE / "results").glob("bench_*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            newest[row.get("benchmark", "")] = row
    lines = [
        "| benchmark | ours | other program | speed, best | median |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, row in newest.items():
        for part, ours, theirs in SIDES:
            if ours in row and theirs in row:
                best, median = (_speed_of(row, part, ours, theirs, k) for k in KINDS)
                lines.append(
                    f"| {name}{part} | {_measured(row, ours)} | "
                    f"{_measured(row, theirs)} | {best:.2f}x | {median:.2f}x |"
                )
    return "\n".join(lines) if len(lines) > 2 else ""


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
