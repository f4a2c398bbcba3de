"""The picture of learned labels: a row for each image, a column for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxdd.report.style import INK, MUTED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["labels"]

_MOST = 100  # rows, and columns, that can be told apart
_WRITTEN = 20  # rows and columns up to which values and names are written


def labels(
    target: np.ndarray, class_names: Sequence[str] = (), title: str = ""
) -> Figure:
    """Labels as colours, red above 0 and blue below; few of them as numbers too.

    Args:
      target: [m,k], of any scale; the first 100 rows and columns are shown.
      class_names: k names, or none.
      title: above the picture.
    """
    from matplotlib.figure import Figure

    shown = np.asarray(target, np.float64)[:_MOST, :_MOST]
    rows, columns = shown.shape
    if shown.shape != np.shape(target):
        title = f"{title} ({rows} by {columns} of {len(target)} by {len(target[0])})"
    cell = 0.42 if max(rows, columns) <= _WRITTEN else 0.14
    size = (1.6 + cell * columns, 1.1 + cell * rows)
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    axis = figure.subplots()
    limit = float(np.abs(shown).max()) or 1.0
    image = axis.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    figure.colorbar(image, ax=axis, shrink=0.8).ax.tick_params(labelsize=7)
    axis.set_title(title, fontsize=9, color=INK, loc="left")
    axis.set_ylabel("image", fontsize=8, color=MUTED)
    axis.tick_params(colors=MUTED, labelsize=7, length=0)
    names = [str(name)[:12] for name in class_names] or list(map(str, range(columns)))
    if columns <= _WRITTEN:
        axis.set_xticks(range(columns), names[:columns], rotation=60, ha="right")
    if max(rows, columns) <= _WRITTEN:
        axis.set_yticks(range(rows))
        for (row, column), value in np.ndenumerate(shown):
            colour = "white" if abs(value) > 0.6 * limit else INK
            axis.text(
                *(column, row, f"{value:.2f}"),
                ha="center",
                va="center",
                fontsize=6,
                color=colour,
            )
    return figure
