"""What is shown in the terminal: one line per event, and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jaxdd.evaluation import is_krr
from jaxdd.records import Row
from jaxdd.report import report as reports
from jaxdd.report.metrics import LOWER_IS_BETTER, WITHOUT_ORDER, number, title_of
from jaxdd.report.report import RunReport

__all__ = ["say", "show", "show_report", "table"]


def say(line: str) -> None:
    """One line of what is going on."""
    _console().print(line, markup=False, highlight=False, soft_wrap=True)


def show(renderable: Any) -> None:
    """Anything rich can draw."""
    _console().print(renderable)


def _console() -> Any:
    from rich.console import Console

    return Console()


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    title: str = "",
    left: int = 1,
) -> Any:
    """A table of plain cells, for `show`.

    Args:
      heads: of the columns.
      rows: cells, which may hold rich's markup.
      title: above it.
      left: columns that are aligned to the left; the others hold numbers.
    """
    from rich import box
    from rich.table import Table

    made = Table(
        title=title or None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for position, head in enumerate(heads):
        justify = "left" if position < left else "right"
        made.add_column(
            head, justify=justify, no_wrap=position == 0 or position >= left
        )
    for row in rows:
        made.add_row(*row)
    return made


def show_report(report: RunReport, folder: Path) -> None:
    """The rows as a table, and where the figures and the page are."""
    if any(not is_krr(row) for row in report.rows):
        show(_rows(report))
    if across := reports.architectures(report.rows):
        show(_architectures(across))
    if found := reports.regressions(report.rows):
        show(_regressions(report, found))
    for note in report.notes:
        say(f"note: {note}")
    for line in _facts(report):
        say(line)
    for place in _places(folder):
        say(place)


def _rows(report: RunReport) -> Any:
    from rich import box
    from rich.table import Table

    size, name = report.set.get("size", 0), report.dataset.get("name", "")
    table = Table(
        title=f"{report.method} on {name}: {size:,} images",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for head in ("metric", "set"):
        table.add_column(head, no_wrap=True)
    for head in ("mean", "std", "seeds"):
        table.add_column(head, justify="right", no_wrap=True)
    table.add_column("student", style="dim")
    last = ""
    main = [r for r in reports.main_rows(report.rows) if not is_krr(r)]
    for row in reports.by_metric(tuple(main)):
        metric = row.metric
        if last and metric != last:
            table.add_section()
        table.add_row(*_cells(report, row, metric != last), style=_style(report, row))
        last = metric
    return table


def _architectures(found: reports.Architectures) -> Any:
    """Networks by sets, and the mean over those that are not the protocol's own."""
    from rich import box
    from rich.table import Table

    title = f"{title_of(found.metric)} by network"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("network", no_wrap=True)
    for name in found.sets:
        table.add_column(name, justify="right", no_wrap=True)
    for network in found.networks:
        rows = [found.cells.get((network, name)) for name in found.sets]
        table.add_row(network, *(_mean(found.metric, row) for row in rows))
    table.add_section()
    means = [
        number(found.metric, found.unseen[name]) if name in found.unseen else ""
        for name in found.sets
    ]
    table.add_row("mean, first aside", *means)
    return table


def _regressions(report: RunReport, rows: tuple[Row, ...]) -> Any:
    """Kernels by sets; what these rows are is said above them."""
    from rich import box
    from rich.table import Table

    size, name = report.set.get("size", 0), report.dataset.get("name", "")
    title = f"{report.method} on {name}: {size:,} images, kernel ridge regression"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for head in ("kernel", "metric", "set"):
        table.add_column(head, no_wrap=True)
    for head in ("mean", "std", "seeds", "ridge"):
        table.add_column(head, justify="right", no_wrap=True)
    ridges = {
        (r.network, r.set): number("ridge", r.mean) for r in rows if r.metric == "ridge"
    }
    for row in rows:
        if row.metric not in WITHOUT_ORDER:
            metric, name, *figures, network = _cells(report, row, True)
            cells = (network, metric, name, *figures, ridges[network, name])
            table.add_row(*cells, style=_style(report, row))
    return table


def _mean(metric: str, row: Row | None) -> str:
    if row is None:
        return ""
    mean = number(metric, row.mean)
    return f"{mean} ± {number(metric, row.std)}" if row.seeds > 1 else mean


def _cells(report: RunReport, row: Row, first: bool) -> list[str]:
    metric = row.metric
    arrow = "↓" if metric in LOWER_IS_BETTER else "↑"
    top = reports.is_best(report.rows, row)
    mean = number(metric, row.mean)
    return [
        f"{title_of(metric)} {arrow}" if first else "",
        row.set,
        f"[bold]{mean}[/bold]" if top else mean,
        number(metric, row.std) if row.seeds > 1 else "–",
        str(row.seeds),
        row.network,
    ]


def _style(report: RunReport, row: Row) -> str:
    return "cyan" if row.set == report.method else ""


def _facts(report: RunReport) -> list[str]:
    lines = []
    if report.loss:
        first, last = report.loss["first"], report.loss["last"]
        lines.append(f"loss: {first:.4g} at the start, {last:.4g} at the end")
    if report.teacher:
        quality = ", ".join(
            f"{name.replace('_', ' ')} {value:.3f}"
            for name, value in report.teacher.items()
        )
        lines.append(f"prepared: {quality}")
    if report.storage:
        parts = ", ".join(
            f"{k} {v / 1e3:,.1f} kB" for k, v in report.storage.items() if v
        )
        lines.append(f"storage: {parts}")
    if report.seconds:
        parts = ", ".join(f"{k} {v:.0f} s" for k, v in report.seconds.items())
        lines.append(f"time: {parts}")
    return lines


def _places(folder: Path) -> list[str]:
    pictures = sorted((folder / "figures").glob("*.png"))
    lines = [f"figures: {', '.join(str(p) for p in pictures)}"] if pictures else []
    if (folder / "report.html").exists():
        lines.append(f"report: {folder / 'report.html'}")
    return lines
