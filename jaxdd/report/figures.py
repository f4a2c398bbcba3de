"""The pictures of a run; each function returns a matplotlib Figure.

Nothing touches the global state of pyplot, so notebooks and threads may call these.
matplotlib is imported when the first figure is made.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxdd.records import Row
from jaxdd.report.metrics import metric_of, number, title_of
from jaxdd.report.style import ACCENT, INK, MUTED, SOFT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jaxdd.report.report import Architectures

__all__ = ["architectures", "bars", "contrast", "curves", "grid", "png"]


def contrast(image: np.ndarray) -> np.ndarray:
    """Whitened images stretched to [0,1], one scale for all, without the outer 1 %."""
    low, high = np.percentile(image, [0.5, 99.5])
    return np.clip((image - low) / max(high - low, 1e-12), 0.0, 1.0)


def grid(
    image: np.ndarray,
    label: np.ndarray | None = None,
    class_names: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """The set as a table of images: a column per class, or a square without labels.

    Args:
      image: [m,h,w,c] in [0,1].
      label: int [m], or None.
      class_names: names written above the columns.
      title: above the picture.
    """
    image = np.asarray(image, np.float64)
    if label is None:
        rows, names, shown = _square(len(image)), [], min(len(image), 100)
    else:
        rows, names, shown = _by_class(np.asarray(label), class_names)
    if shown < len(image):
        title = f"{title} ({shown} of {len(image)} shown)"
    return _draw_grid(image, rows, names, title)


def _square(count: int) -> np.ndarray:
    """Row numbers [rows, columns] in reading order; -1 = empty."""
    count = min(count, 100)
    columns = count if count <= 10 else int(np.ceil(np.sqrt(count * 1.4)))
    return _pad(np.arange(count), columns)


def _by_class(
    label: np.ndarray, class_names: Sequence[str]
) -> tuple[np.ndarray, list[list[str]], int]:
    """Image rows [rows, columns], the names above each row, and how many are shown."""
    classes = np.unique(label)
    members = [np.flatnonzero(label == c) for c in classes]
    names = [str(class_names[c] if c < len(class_names) else c) for c in classes]
    deepest = max(map(len, members))
    if deepest == 1:  # one image per class: wrap, each image under its name
        first = np.asarray([m[0] for m in members[:100]])
        rows = _pad(first, min(10, len(first)))
        width = rows.shape[1]
        above = [names[i : i + width] for i in range(0, len(first), width)]
        return rows, above, len(first)
    columns, depth = min(len(classes), 20), min(deepest, 10)
    rows = np.full((depth, columns), -1)
    for column, member in enumerate(members[:columns]):
        rows[: min(depth, len(member)), column] = member[:depth]
    return rows, [names[:columns]], int((rows >= 0).sum())


def _pad(rows: np.ndarray, columns: int) -> np.ndarray:
    count = -(-len(rows) // columns) * columns
    return np.pad(rows, (0, count - len(rows)), constant_values=-1).reshape(-1, columns)


def _draw_grid(
    image: np.ndarray, rows: np.ndarray, names: list[list[str]], title: str
) -> Figure:
    """One picture pasted together: a hundred separate panels take seconds to draw."""
    from matplotlib.figure import Figure

    cell, gap = 0.8, 0.06  # inches
    head, line = 0.34, 0.2 if names else 0.0
    repeated = line if len(names) > 1 else 0.0
    depth, columns = rows.shape
    step_x, step_y = cell + gap, cell + gap + repeated
    wide = max(4.0, columns * step_x + gap)
    high = head + (line - repeated) + depth * step_y + gap
    figure = Figure(figsize=(wide, high), dpi=160)
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axis.axis("off")
    axis.text(gap, 0.22, title, fontsize=10, color=INK)
    for (row, column), index in np.ndenumerate(rows):
        left = gap + column * step_x
        top = head + line + row * step_y
        if index >= 0:
            _show(axis, image[index], left, top, cell)
        if row < len(names) and column < len(names[row]):
            text = _short(names[row][column])
            axis.text(left + cell / 2, top - 0.05, text, fontsize=8, ha="center")
    axis.set_xlim(0, wide)
    axis.set_ylim(high, 0)
    return figure


def _show(axis: Any, image: np.ndarray, left: float, top: float, cell: float) -> None:
    picture = np.clip(image[..., 0] if image.shape[-1] != 3 else image, 0, 1)
    high, wide = cell, cell * image.shape[1] / image.shape[0]
    box = (left, left + wide, top + high, top)
    axis.imshow(
        picture,
        cmap="gray",
        vmin=0,
        vmax=1,
        interpolation="nearest",
        extent=box,
        aspect="auto",
    )


def _short(name: str) -> str:
    return name if len(name) <= 12 else name[:11] + "…"


def curves(
    runs: Sequence[Mapping[str, np.ndarray]],
    metric: str = "loss",
    title: str = "Loss of the distillation",
) -> Figure:
    """A metric over the outer steps: every value faint, a running mean on top.

    Args:
      runs: one mapping per seed, metric -> [steps].
      metric: which one.
      title: above the picture.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(7.0, 3.6), dpi=160, layout="constrained")
    axis = figure.subplots()
    drawn = [np.asarray(run[metric], np.float64) for run in runs if metric in run]
    drawn = [values for values in drawn if values.size]
    for values in drawn:
        steps = np.arange(1, len(values) + 1)
        axis.plot(steps, values, color=ACCENT, alpha=0.3, linewidth=0.7)
        axis.plot(steps, _smooth(values), color=ACCENT, alpha=0.9, linewidth=1.8)
    if drawn and all((values > 0).all() for values in drawn):
        axis.set_yscale("log")
        low, high = min(v.min() for v in drawn), max(v.max() for v in drawn)
        subs = (1.0, 2.0, 5.0) if high > 10 * low else range(1, 10)
        axis.yaxis.set_major_locator(LogLocator(subs=subs))
        axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("outer step", fontsize=9, color=MUTED)
    axis.set_ylabel(metric.replace("_", " "), fontsize=9, color=MUTED)
    seeds = f", {len(drawn)} seeds" if len(drawn) > 1 else ""
    axis.set_title(title + seeds, loc="left", fontsize=10, color=INK)
    _quiet(axis)
    axis.grid(True, which="both", color="#e8ebf0", linewidth=0.6)
    return figure


def _smooth(values: np.ndarray) -> np.ndarray:
    """A running mean over a twentieth of the curve, one-sided at its ends."""
    half = max(1, len(values) // 40)
    total = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    first = np.maximum(place - half, 0)
    last = np.minimum(place + half + 1, len(values))
    return (total[last] - total[first]) / (last - first)


def bars(rows: Sequence[Row], own: str = "") -> Figure:
    """The report's rows as bars with their standard deviations, a panel per metric.

    Args:
      rows: of the report, with `set metric mean std`.
      own: the set to highlight: the method's name.
    """
    from matplotlib.figure import Figure

    metrics = list(dict.fromkeys(row.metric for row in rows))
    columns = min(2, max(1, len(metrics)))
    lines = -(-len(metrics) // columns)
    most = max(sum(row.metric == m for row in rows) for m in metrics)
    figure = Figure(
        figsize=(3.5 * columns, lines * (0.3 * most + 0.6)),
        dpi=160,
        layout="constrained",
    )
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, metric in zip(panels, metrics, strict=False):
        _bar_panel(panel, [row for row in rows if row.metric == metric], metric, own)
        panel.set_ylim(most - 0.4, -0.6)
    for panel in panels[len(metrics) :]:
        panel.axis("off")
    return figure


def architectures(found: Architectures, own: str = "") -> Figure:
    """One metric by network, a bar for each set, with standard deviations.

    Args:
      found: networks, sets and rows.
      own: the set to highlight: the method's name.
    """
    from matplotlib.figure import Figure

    names, sets = found.networks, found.sets
    height = 0.8 / len(sets)
    figure = Figure(
        figsize=(6.4, 0.7 + 0.24 * len(names) * (len(sets) + 0.6)),
        dpi=160,
        layout="constrained",
    )
    axis = figure.subplots()
    greys = ("#c3cad6", "#8d97a8", "#dfe3ea", "#5d6675")
    others = [name for name in sets if name != own]
    colours = dict(zip(others, greys * len(others), strict=False)) | {own: ACCENT}
    for index, name in enumerate(sets):
        rows = {n: found.cells[n, name] for n in names if (n, name) in found.cells}
        place = (
            np.asarray([names.index(n) for n in rows]) + (index + 0.5) * height - 0.4
        )
        mean = np.asarray([row.mean for row in rows.values()])
        std = np.asarray([row.std for row in rows.values()])
        axis.barh(place, mean, height=0.9 * height, color=colours[name], label=name)
        bars = {"fmt": "none", "ecolor": INK, "elinewidth": 0.8, "capsize": 2.0}
        several = std > 0
        axis.errorbar(mean[several], place[several], xerr=std[several], **bars)
        for at, value, spread in zip(place, mean, std, strict=True):
            text = f"  {number(found.metric, value)}"
            axis.text(value + spread, at, text, va="center", fontsize=7, color=INK)
    axis.set_yticks(np.arange(len(names)), names, fontsize=9)
    axis.invert_yaxis()
    axis.set_xticks([])
    axis.margins(x=0.15)
    axis.set_title(title_of(found.metric), loc="left", fontsize=9, color=INK)
    figure.legend(loc="outside lower left", ncols=4, fontsize=8, frameon=False)
    _quiet(axis)
    axis.spines["bottom"].set_visible(False)
    axis.tick_params(length=0)
    return figure


def _bar_panel(axis: Any, rows: Sequence[Row], metric: str, own: str) -> None:
    place = np.arange(len(rows))
    mean = np.asarray([row.mean for row in rows], np.float64)
    std = np.asarray([row.std or 0.0 for row in rows], np.float64)
    for where, row, value in zip(place, rows, mean, strict=True):
        style = _ALL if row.set == "full" else {"color": SOFT}
        style = {"color": ACCENT} if row.set == own else style
        axis.barh(where, value, height=0.62, **style)
    spread = std > 0
    bars = {"fmt": "none", "ecolor": INK, "elinewidth": 1.0, "capsize": 2.5}
    axis.errorbar(mean[spread], place[spread], xerr=std[spread], **bars)
    reach = float(np.nanmax(mean + std)) if len(rows) else 1.0
    for where, value, end in zip(place, mean, mean + std, strict=True):
        text = number(metric, value)
        axis.text(end + 0.02 * reach, where, text, va="center", fontsize=8)
    axis.set_yticks(place, [row.set for row in rows], fontsize=9)
    axis.set_xlim(0, 1.3 * reach)
    axis.set_xticks([])
    known = metric_of(metric)
    title = f"{known.title} ({known.better} is better)"
    axis.set_title(title, loc="left", fontsize=9, color=INK)
    _quiet(axis)
    axis.spines["bottom"].set_visible(False)
    axis.tick_params(length=0)


# The full data set is what the others are measured against, no competitor.
_ALL = {"facecolor": "white", "edgecolor": SOFT, "hatch": "////", "linewidth": 1.0}


def _quiet(axis: Any) -> None:
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color(SOFT)
    axis.tick_params(which="both", colors=MUTED, labelsize=8)


def png(figure: Figure) -> bytes:
    """The figure as the bytes of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white")
    return buffer.getvalue()
