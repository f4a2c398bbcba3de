"""What a finished run leaves: pictures, the page, exports for other programs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from jaxdd import exchange, files
from jaxdd.base import Distilled
from jaxdd.report import html, pictures
from jaxdd.report import report as reports
from jaxdd.report.pictures import Histories
from jaxdd.report.report import RunReport

__all__ = ["conclude", "export", "write_pages"]


def write_pages(
    report: RunReport, distilled: Distilled, histories: Histories, folder: Path
) -> None:
    """Writes figures and the page.

    Args:
      report: what was measured.
      distilled: the set that is shown.
      histories: metrics of each distillation.
      folder: the work directory.
    """
    drawn = pictures.draw(report, distilled, histories)
    for name, data in drawn.items():
        _write(folder / "figures" / f"{name}.png", data)
    _write(folder / "report.html", html.page(report, drawn).encode())


def conclude(report: RunReport, folder: Path) -> None:
    """Writes report.json, which ends the run, and removes the checkpoints.

    They may be large, and are of no use after that.
    """
    reports.write(report, folder)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def export(
    sets: Sequence[Distilled],
    form: str,
    folder: Path,
    say: Callable[[str], None],
) -> None:
    """Writes sets for other programs, several ones as `<folder>-seed<seed>`.

    Raises:
      InputError: as `exchange.write`.
    """
    for distilled in sets:
        place = folder
        if len(sets) > 1:
            place = folder.with_name(f"{folder.name}-seed{distilled.meta.seed}")
        written = exchange.write(distilled, place, form)
        say(f"exported {form} to {written.path} ({written.size:,} bytes)")


def _write(path: Path, data: bytes) -> None:
    files.write_atomic(path, lambda handle: handle.write(data))
