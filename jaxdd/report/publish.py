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

__all__ = ["export", "publish"]


def publish(
    report: RunReport,
    distilled: Distilled,
    histories: Histories,
    folder: Path,
    before_report: Callable[[], None] = lambda: None,
) -> None:
    """Writes figures, the page, and last of all report.json, which ends the run.

    The checkpoints, which may be large, are of no use after that.

    Args:
      report: what was measured.
      distilled: the set that is shown.
      histories: metrics of each distillation.
      folder: the work directory.
      before_report: what else must be written before the run counts as finished.
    """
    drawn = pictures.draw(report, distilled, histories)
    for name, data in drawn.items():
        _write(folder / "figures" / f"{name}.png", data)
    _write(folder / "report.html", html.page(report, drawn).encode())
    before_report()
    reports.write(report, folder)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)


def export(
    sets: Sequence[Distilled],
    form: str,
    folder: Path,
    announce: Callable[[str], None],
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
        announce(f"exported {form} to {written.path} ({written.size:,} bytes)")


def _write(path: Path, data: bytes) -> None:
    files.write_atomic(path, lambda handle: handle.write(data))
