"""The pictures of a run, as PNG files by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import numpy as np

from jaxdd import whiten
from jaxdd.base import Distilled
from jaxdd.report import figures, figures_labels
from jaxdd.report import report as reports
from jaxdd.report.metrics import metric_of
from jaxdd.report.report import RunReport

__all__ = ["draw", "images"]


Histories = Sequence[Mapping[str, np.ndarray]]


def images(distilled: Distilled) -> np.ndarray:
    """The set as pictures in [0,1], [m,h,w,c]."""
    image = distilled.synthetic.image
    if distilled.meta.input_space == "whitened":
        image = whiten.inverse(distilled.whitening, image)
    return np.clip(np.asarray(jax.device_get(image), np.float32), 0.0, 1.0)


def draw(report: RunReport, distilled: Distilled, runs: Histories) -> dict[str, bytes]:
    """All pictures of a report as PNG files by name.

    Args:
      report: what was measured.
      distilled: the set that is shown (the first seed's).
      runs: metrics of each distillation.
    """
    meta, synthetic = distilled.meta, distilled.synthetic
    hard = meta.label_kind != "representation"
    target = np.asarray(synthetic.target)
    label = None if not hard else target.argmax(-1) if target.ndim > 1 else target
    title = f"{report.method} on {meta.dataset}, {len(target):,} images"
    raw = figures.contrast(np.asarray(synthetic.image, np.float32))
    names = meta.class_names
    drawn = {
        "grid": figures.grid(images(distilled), label, names, title),
        "grid_raw": figures.grid(raw, label, names, f"{title}, as networks see them"),
    }
    if hard and target.ndim > 1:
        drawn["labels"] = figures_labels.labels(target, names, f"{title}: labels")
    if any(len(run.get("loss", ())) for run in runs):
        drawn["loss"] = figures.curves(runs)
    shown = reports.main_rows(report.rows)
    shown = [row for row in shown if metric_of(row.metric).better]
    if shown:
        drawn["rows"] = figures.bars(shown, report.method)
    across = reports.architectures(report.rows)
    if across is not None:
        drawn["architectures"] = figures.architectures(across, report.method)
    return {name: figures.png(figure) for name, figure in drawn.items()}
