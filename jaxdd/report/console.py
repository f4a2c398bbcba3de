"""What is shown in the terminal: one line per event, and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jaxdd.evaluation import is_krr
from jaxdd.report import report as reports
from jaxdd.report import tables
from jaxdd.report.report import RunReport
from jaxdd.report.tables import Table

__all__ = ["say", "show", "show_report", "table"]

_HEADS = ("metric", "set", "mean", "std", "seeds", "network")
_NUMBERS = ("mean", "std", "seeds", "ridge")


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
    from rich import table as rich_table

    drawn = rich_table.Table(
        title=title or None,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for position, head in enumerate(heads):
        justify = "left" if position < left else "right"
        drawn.add_column(
            head, justify=justify, no_wrap=position == 0 or position >= left
        )
    for row in rows:
        drawn.add_row(*row)
    return drawn


def show_report(report: RunReport, folder: Path) -> None:
    """The rows as a table, and where the figures and the page are."""
    if any(not is_krr(row) for row in report.rows):
        own = reports.main_rows(report.rows)
        show(_drawn(tables.of_networks(report, own, _HEADS)))
    if across := reports.architectures(report.rows):
        show(_drawn(tables.across_networks(across)))
    if reports.regressions(report.rows):
        show(_drawn(tables.of_regressions(report)))
    for note in report.notes:
        say(f"note: {note}")
    for line in _facts(report):
        say(line)
    for place in _places(folder):
        say(place)


def _drawn(content: Table) -> Any:
    """A report's table: the set's own lines in colour, the best figures bold."""
    left = [kind not in _NUMBERS for kind in content.kinds]
    drawn = table(content.heads, (), title=content.title, left=left.count(True))
    for column, text in zip(drawn.columns, left, strict=True):
        column.justify, column.no_wrap = "left" if text else "right", True
    for line in content.lines:
        if line.first and drawn.rows:
            drawn.add_section()
        texts = [f"[bold]{c.text}[/bold]" if c.best else c.text for c in line.cells]
        own = any(cell.own for cell in line.cells)
        drawn.add_row(*texts, style="cyan" if own else "")
    return drawn


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
