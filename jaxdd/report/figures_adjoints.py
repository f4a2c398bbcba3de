"""The picture of `unroll.compare_adjoints`: accuracy beside cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxdd.report.style import ACCENT, BIASED, INK, MUTED, SOFT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jaxdd.unroll.compare import Comparison

__all__ = ["adjoints"]

_ROUNDING = 1e-4  # a bias below is rounding, of float32 after many steps
_NOTHING = 1e-12  # a variance below
_SEVERAL = 30.0  # ratios from here on a logarithmic scale


class _Panel(NamedTuple):
    title: str
    values: np.ndarray
    texts: list[str]
    logarithmic: bool


def adjoints(comparison: Comparison, title: str = "") -> Figure:
    """Cosine, bias, variance where there are keys, memory, and time of each adjoint.

    Exact adjoints and biased ones differ in colour.

    Args:
      comparison: what was measured.
      title: above the picture.
    """
    from matplotlib.figure import Figure

    panels, rows = _panels(comparison), comparison.rows
    figure = Figure(
        figsize=(1.5 + 1.75 * len(panels), 0.9 + 0.3 * len(rows)),
        dpi=160,
        layout="constrained",
    )
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    colours = [ACCENT if row.bias < _ROUNDING else BIASED for row in rows]
    for axis, panel in zip(axes, panels, strict=True):
        _draw(axis, panel, colours)
    axes[0].set_yticks(np.arange(len(rows)), [row.adjoint for row in rows], fontsize=9)
    axes[0].set_ylim(len(rows) - 0.45, -0.6)
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=10, color=INK)
    return figure


def _panels(comparison: Comparison) -> list[_Panel]:
    """What is drawn, from left to right."""
    rows = comparison.rows
    take = lambda name: np.asarray([getattr(row, name) for row in rows], np.float64)
    cosine, bias, variance = take("cosine"), take("bias"), take("variance")
    megabytes, milliseconds = take("bytes") / 1e6, 1e3 * take("seconds")
    short = lambda values: [f"{value:.3g}" for value in values]
    panels = [
        _Panel("cosine with exact", cosine, [f"{c:.3f}" for c in cosine], False),
        _Panel("relative bias", bias, [f"{b:.1g}" for b in bias], True),
    ]
    if not any(math.isnan(value) for value in variance):
        variance = np.where(variance < _NOTHING, 0.0, variance)
        texts = [f"{v:.1g}" for v in variance]
        panels.append(_Panel("variance over keys", variance, texts, _wide(variance)))
    for name, values in (("memory, MB", megabytes), ("time, ms", milliseconds)):
        panels.append(_Panel(name, values, short(values), _wide(values)))
    return panels


def _wide(values: np.ndarray) -> bool:
    """Whether only a logarithmic scale shows them all."""
    positive = values[values > 0]
    return len(positive) > 0 and positive.max() > _SEVERAL * positive.min()


def _draw(axis: Any, panel: _Panel, colours: list[str]) -> None:
    """Bars with their numbers behind them."""
    place, values = np.arange(len(panel.values)), panel.values
    least, most = 0.0, float(np.max(values))
    if panel.logarithmic:
        positive = values[values > 0]
        least = float(positive.min()) / 3 if len(positive) else 1e-9
        most = max(most, 10 * least)
        axis.set_xscale("log")
        axis.set_xlim(least, most * (most / least) ** 0.45)
    else:
        axis.set_xlim(min(0.0, 1.3 * float(np.min(values))), 1.5 * (most or 1.0))
    lengths = np.maximum(values, least) - least if panel.logarithmic else values
    axis.barh(place, lengths, left=least, height=0.62, color=colours)
    for where, value, text in zip(place, values, panel.texts, strict=True):
        at = max(value, least) if panel.logarithmic else max(value, 0.0)
        axis.annotate(
            text,
            (at, where),
            xytext=(3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK,
        )
    scale = " (log)" if panel.logarithmic else ""
    axis.set_title(panel.title + scale, loc="left", fontsize=9, color=INK)
    axis.set_xticks([])
    axis.minorticks_off()
    for side in ("top", "right", "bottom"):
        axis.spines[side].set_visible(False)
    axis.spines["left"].set_color(SOFT)
    axis.tick_params(length=0, colors=MUTED)
