"""The tables of a report, whoever draws them: the terminal, the page, Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jaxdd.evaluation import is_krr
from jaxdd.records import Row
from jaxdd.report import report as reports
from jaxdd.report.metrics import metric_of, number
from jaxdd.report.report import RunReport

__all__ = [
    "Cell",
    "Line",
    "Table",
    "across_networks",
    "markdown",
    "of_networks",
    "of_regressions",
    "spread",
]


class Cell(NamedTuple):
    """What stands at one place: `note` is an aside for which there may be no room."""

    text: str
    own: bool = False  # the name, or the figure, of the distilled set itself
    best: bool = False  # of its metric
    note: str = ""


class Line(NamedTuple):
    """Cells from left to right; `first` of a group of lines."""

    cells: tuple[Cell, ...]
    first: bool = False


class Table(NamedTuple):
    """Lines under the heads of their columns; `kinds` are the heads of known columns,
    such as "mean", which say how a column is drawn."""

    title: str
    heads: tuple[str, ...]
    lines: tuple[Line, ...]
    kinds: tuple[str, ...]


def of_networks(report: RunReport, rows: Sequence[Row], heads: Sequence[str]) -> Table:
    """The figures of trained networks, one metric after the other.

    Args:
      report: says which set is its own, and among which rows the best is sought.
      rows: those of regressions are left out.
      heads: of the columns, such as metric, set, mean, std, seeds, network, protocol.
    """
    trained = reports.by_metric(tuple(row for row in rows if not is_krr(row)))
    lines, last = [], ""
    for row in trained:
        first = row.metric != last
        heading = metric_of(row.metric).heading if first else ""
        lines.append(_line(report, row, heads, {"metric": heading}, first))
        last = row.metric
    return Table(_title(report), tuple(heads), tuple(lines), tuple(heads))


def of_regressions(report: RunReport) -> Table:
    """The figures that no network is behind, kernel by kernel, and the ridges used."""
    heads = ("kernel", "metric", "set", "mean", "std", "seeds", "ridge")
    rows = reports.regressions(report.rows)
    ridges = {(r.network, r.set): r.mean for r in rows if r.metric == "ridge"}
    lines, last = [], ""
    for row in rows:
        metric = metric_of(row.metric)
        if metric.better is None:
            continue
        texts = {
            "kernel": row.network,
            "metric": metric.heading,
            "ridge": number("ridge", ridges[row.network, row.set]),
        }
        lines.append(_line(report, row, heads, texts, row.network != last))
        last = row.network
    title = f"{_title(report)}, kernel ridge regression"
    return Table(title, heads, tuple(lines), heads)


def across_networks(found: reports.Architectures) -> Table:
    """Networks by sets, and the mean over those that are not the protocol's own."""

    def cell(network: str, name: str) -> Cell:
        row = found.cells.get((network, name))
        return Cell("") if row is None else Cell(spread(row), note=f"({row.seeds})")

    lines = [
        Line((Cell(network), *(cell(network, name) for name in found.sets)))
        for network in found.networks
    ]
    means = [
        number(found.metric, found.unseen[name]) if name in found.unseen else ""
        for name in found.sets
    ]
    lines.append(Line(tuple(map(Cell, ("mean, first aside", *means))), first=True))
    title = f"{metric_of(found.metric).title} by network"
    kinds = ("", *("mean" for _ in found.sets))
    return Table(title, ("network", *found.sets), tuple(lines), kinds)


def spread(row: Row) -> str:
    """Mean and deviation of a row; the mean alone where there is one seed."""
    mean = number(row.metric, row.mean)
    return f"{mean} ± {number(row.metric, row.std)}" if row.seeds > 1 else mean


def markdown(heads: Sequence[str], lines: Iterable[Iterable[Cell]]) -> str:
    """A table of a README; own figures are bold."""
    own = lambda cell: f"**{cell.text}**" if cell.own and cell.text else cell.text
    texts = [[own(cell) for cell in line] for line in lines]
    rows = [f"| {' | '.join(row)} |" for row in (heads, *texts)]
    return "\n".join([rows[0], "| --- " * len(heads) + "|", *rows[1:]])


def _title(report: RunReport) -> str:
    size, name = report.set.get("size", 0), report.dataset.get("name", "")
    return f"{report.method} on {name}: {size:,} images"


def _line(
    report: RunReport,
    row: Row,
    heads: Sequence[str],
    texts: dict[str, str],
    first: bool,
) -> Line:
    texts = {
        "mean": number(row.metric, row.mean),
        "std": number(row.metric, row.std) if row.seeds > 1 else "–",
        "seeds": str(row.seeds),
        "network": row.network,
        "protocol": row.protocol,
    } | texts
    cells = {name: Cell(text) for name, text in texts.items()}
    cells["set"] = Cell(row.set, own=row.set == report.method)
    cells["mean"] = cells["mean"]._replace(best=reports.is_best(report.rows, row))
    return Line(tuple(cells[head] for head in heads), first)
