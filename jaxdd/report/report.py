"""The report of a run: what was measured, on what, with what, and how to repeat it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from jaxdd import files
from jaxdd.evaluation import is_krr
from jaxdd.records import Expected, Row, from_dict, to_dict
from jaxdd.report.metrics import metric_of

__all__ = [
    "Architectures",
    "RunReport",
    "architectures",
    "best",
    "by_metric",
    "headline",
    "is_best",
    "main_rows",
    "read",
    "regressions",
    "write",
]

_FILE = "report.json"


@dataclass(frozen=True)
class RunReport:
    """What a finished run says about itself; `report.json` is its JSON form.

    Attributes:
      method, preset, config_hash: which run it is.
      dataset: name, hash, image_shape, classes, train and test counts.
      set: size, ipc, target kind.
      rows: the figures, the set's own first.
      notes: what a reader of the rows must know.
      teacher: quality of what was prepared, a teacher or experts; may be empty.
      loss: the outer loss at the start and at the end (means over a twentieth).
      storage: bytes of images, targets, modules.
      expected: the figures the preset promises.
      seconds: wall time by stage; cached stages are near zero.
      versions, hardware, commit, command: where it ran and how to repeat it.
    """

    method: str
    preset: str = ""
    config_hash: str = ""
    dataset: dict[str, Any] = field(default_factory=dict)
    set: dict[str, Any] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    notes: tuple[str, ...] = ()
    teacher: dict[str, float] = field(default_factory=dict)
    loss: dict[str, float] = field(default_factory=dict)
    storage: dict[str, int] = field(default_factory=dict)
    expected: tuple[Expected, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    commit: str = ""
    command: str = ""


def write(report: RunReport, folder: Path) -> None:
    """Writes `report.json`; its presence says that the run is finished."""
    files.write_json(folder / _FILE, to_dict(report))


def read(folder: Path) -> RunReport | None:
    """The report of a finished run, or None."""
    if not (folder / _FILE).exists():
        return None
    return from_dict(RunReport, files.read_json(folder / _FILE))


class Architectures(NamedTuple):
    """One metric by network and set.

    `networks` begins with the one the protocol names; `unseen` is the mean over the
    others that all have, by set.
    """

    metric: str
    networks: list[str]
    sets: list[str]
    cells: dict[tuple[str, str], Row]
    unseen: dict[str, float]


def architectures(rows: tuple[Row, ...]) -> Architectures | None:
    """The report's first metric across trained networks; None for fewer than two."""
    metric = rows[0].metric if rows else ""
    found = [row for row in rows if row.metric == metric and not is_krr(row)]
    names = list(dict.fromkeys(row.network for row in found))
    if len(names) < 2:
        return None
    cells = {(row.network, row.set): row for row in found}
    sets = list(dict.fromkeys(row.set for row in found))
    others = names[1:]
    means = {
        name: [cells[n, name].mean for n in others if (n, name) in cells]
        for name in sets
    }
    whole = {s: found for s, found in means.items() if len(found) == len(others)}
    unseen = {name: sum(found) / len(found) for name, found in whole.items()}
    shown = [name for name in sets if means[name]]
    return Architectures(metric, names, shown, cells, unseen)


def main_rows(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows of the protocol's own network."""
    own = rows[0].network if rows else ""
    return tuple(row for row in rows if row.network == own)


def regressions(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """The rows of kernel ridge regression, which stand apart from those of networks."""
    return tuple(row for row in rows if is_krr(row))


def by_metric(rows: tuple[Row, ...]) -> list[Row]:
    """The rows with those of one metric together, in the order metrics appear."""
    metrics = list(dict.fromkeys(row.metric for row in rows))
    return sorted(rows, key=lambda row: metrics.index(row.metric))


def best(
    rows: tuple[Row, ...], metric: str, network: str | None = None
) -> float | None:
    """The best mean of a metric under a network (default: any).

    The full data set, which is no competitor, is left aside.
    """
    means = [
        row.mean
        for row in rows
        if row.metric == metric and row.set != "full" and network in (None, row.network)
    ]
    if not means:
        return None
    return min(means) if metric_of(metric).better == "lower" else max(means)


def is_best(rows: tuple[Row, ...], row: Row) -> bool:
    """Whether a row has the best mean of its metric under its network."""
    if metric_of(row.metric).better is None:
        return False
    top = best(rows, row.metric, row.network)
    return row.set != "full" and row.mean == top


def headline(report: RunReport) -> tuple[str, Row, Row | None]:
    """The metric to look at first, the set's row and the random row beside it.

    Raises:
      ValueError: the report has no row of its own set.
    """
    own = [row for row in report.rows if row.set == report.method]
    if not own:
        raise ValueError("the report has no row of the distilled set")
    row = own[0]
    random = [
        other
        for other in report.rows
        if (other.set, other.metric, other.network)
        == ("random", row.metric, row.network)
    ]
    other = random[0] if random and report.method != "random" else None
    return row.metric, row, other
