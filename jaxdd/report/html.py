"""`report.html`: one self-contained page, readable on a phone and in print."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from typing import Any

from jaxdd.evaluation import is_krr
from jaxdd.records import Row
from jaxdd.report import report as reports
from jaxdd.report import tables
from jaxdd.report.metrics import metric_of, number, title_of
from jaxdd.report.report import RunReport
from jaxdd.report.tables import Cell, Table

__all__ = ["page"]

_BESIDE = Path(__file__).parent

_CAPTIONS = {
    "rows": "The rows of the table below; whiskers, where there are several seeds, are"
    " one standard deviation.",
    "architectures": "The same students' training, under other networks.",
    "grid": "The images, brought back from the space that networks see.",
    "grid_raw": "The same images as networks see them: whitened, one contrast for all.",
    "labels": "The label of each image, as students are trained on it.",
    "loss": "Loss of the distillation on real batches: each step, and a running mean.",
}


def page(report: RunReport, pictures: Mapping[str, bytes]) -> str:
    """The whole page.

    Args:
      report: what was measured.
      pictures: PNG files by name: rows, grid, grid_raw, labels, loss; missing ones
        are left out.

    Returns:
      HTML without any reference to another file or host.
    """
    parts = [
        _header(report),
        _headline(report),
        _figure(pictures, "rows"),
        _section("Across architectures", *_architectures(report, pictures)),
        _section(
            "The distilled set",
            _figure(pictures, "grid"),
            _raw(pictures),
            _figure(pictures, "labels"),
        ),
        _section("How it was learned", _figure(pictures, "loss"), _loss(report)),
        _section("All rows", _rows(report)),
        _section("By kernel ridge regression", _regressions(report)),
        _section("Notes", _notes(report)),
        _section("Expected figures", _expected(report)),
        '<div class="columns">',
        _facts("Data", _data(report)),
        _facts("Prepared", {_words(k): _short(v) for k, v in report.teacher.items()}),
        _facts("Storage", {_words(k): _bytes(v) for k, v in _ledger(report)}),
        _facts("Time", {_words(k): _seconds(v) for k, v in report.seconds.items()}),
        _facts("Hardware", {_words(k): _list(v) for k, v in report.hardware.items()}),
        _facts("Versions", {**report.versions, "commit": report.commit}),
        "</div>",
        _section("Repeat it", f"<pre>{escape(report.command)}</pre>"),
    ]
    title = escape(f"{report.method} on {report.dataset.get('name', 'data')}")
    shell, style = (
        _BESIDE.joinpath(f"page.{end}").read_text() for end in ("html", "css")
    )
    return shell.format(title=title, style=style, body="\n".join(filter(None, parts)))


def _header(report: RunReport) -> str:
    data, made = report.dataset, report.set
    size, train = made.get("size", 0), data.get("train", 0)
    share = f" ({100 * size / train:.2g} % of them)" if train else ""
    kind = {
        "representation": "with learned target representations",
        "soft": "with soft labels",
        "hard": "with class labels",
    }.get(made.get("targets", ""), "")
    text = f"{size:,} images {kind}, distilled from {train:,} real ones{share}"
    chips = [report.preset, report.rows[0].protocol if report.rows else ""]
    chips += [f"run {report.config_hash}" if report.config_hash else ""]
    marks = "".join(f"<span>{escape(chip)}</span>" for chip in chips if chip)
    name = escape(str(data.get("name", "data")))
    return (
        f"<header><h1>{escape(report.method)} <small>on {name}</small></h1>"
        f"<p>{escape(text)}</p><p class=chips>{marks}</p></header>"
    )


def _headline(report: RunReport) -> str:
    """The set beside the random subset, in large figures."""
    if not report.rows:
        return ""
    metric, own, random = reports.headline(report)
    by = _by(report, own)
    cards = [_card(report.method, metric, own, "own", by)]
    if random is not None:
        cards.append(_card("random real images", metric, random, "", by))
        cards.append(_comparison(metric, own.mean, random.mean))
    return f'<div class="cards">{"".join(cards)}</div>'


def _by(report: RunReport, row: Row) -> str:
    """What a figure is of, where a report has those of networks and regressions."""
    if is_krr(row):
        return f" by {row.network}"
    return " by trained networks" if reports.regressions(report.rows) else ""


def _card(name: str, metric: str, row: Row, style: str, by: str = "") -> str:
    spread = f" ± {number(metric, row.std)}" if row.seeds > 1 else ""
    seeds = f"{row.seeds} seed{'s' if row.seeds > 1 else ''}"
    return (
        f'<div class="card {style}"><b>{number(metric, row.mean)}</b>'
        f"<span>{escape(name)}</span>"
        f"<small>{escape(title_of(metric) + by)}{spread}, {seeds}</small></div>"
    )


def _comparison(metric: str, own: float, random: float) -> str:
    if metric_of(metric).better == "lower":
        text, better = f"{own / random:.2f}×", own < random
        what = "of the random subset's error"
    else:
        gain = 100 * (own - random)
        text, better = f"{gain:+.1f}", gain > 0
        what = "percentage points against random"
    style = "good" if better else "bad"
    word = "better" if better else "worse"
    return (
        f'<div class="card {style}"><b>{text}</b><span>{word}</span>'
        f"<small>{what}</small></div>"
    )


def _figure(pictures: Mapping[str, bytes], name: str) -> str:
    if name not in pictures:
        return ""
    data = base64.b64encode(pictures[name]).decode()
    text = escape(_CAPTIONS[name])
    return (
        f'<figure><img alt="{text}" src="data:image/png;base64,{data}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _raw(pictures: Mapping[str, bytes]) -> str:
    inside = _figure(pictures, "grid_raw")
    return f"<details><summary>As stored</summary>{inside}</details>" if inside else ""


def _loss(report: RunReport) -> str:
    if not report.loss:
        return ""
    first, last = report.loss["first"], report.loss["last"]
    change = 100 * (last / first - 1) if first else 0.0
    return f"<p>From {first:.4g} to {last:.4g} ({change:+.0f} %).</p>"


def _rows(report: RunReport) -> str:
    heads = ("metric", "set", "mean", "std", "seeds", "network", "protocol")
    note = "<p class=muted>Bold: best of its metric, the full data set aside.</p>"
    return _table(tables.of_networks(report, report.rows, heads), note)


def _regressions(report: RunReport) -> str:
    note = (
        "<p class=muted>The set predicts the test images itself, as the support of a"
        " regression; no network is trained, and these figures are none of networks."
        " The ridge is the one used, in units of the kernel's mean eigenvalue.</p>"
    )
    return _table(tables.of_regressions(report), note)


def _architectures(report: RunReport, pictures: Mapping[str, bytes]) -> tuple[str, ...]:
    """Networks by sets, the mean over those that the set was not made with below."""
    found = reports.architectures(report.rows)
    if found is None:
        return ()
    picture = _figure(pictures, "architectures")
    return picture, _table(tables.across_networks(found))


def _table(table: Table, note: str = "") -> str:
    """A table with the note below it; nothing where it has no lines."""
    if not table.lines:
        return ""
    heads = "".join(
        f"<th class={kind or 'name'}>{escape(head)}</th>"
        for head, kind in zip(table.heads, table.kinds, strict=True)
    )
    lines = "".join(
        f"<tr{' class=first' * line.first}>"
        + "".join(map(_cell, line.cells, table.kinds))
        + "</tr>"
        for line in table.lines
    )
    return (
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>{note}"
    )


def _cell(cell: Cell, kind: str) -> str:
    marks = {kind or "name": True, "own": cell.own, "best": cell.best}
    style = " ".join(name for name, holds in marks.items() if holds)
    note = f" <small>{escape(cell.note)}</small>" if cell.note else ""
    return f'<td class="{style}">{escape(cell.text)}{note}</td>'


def _notes(report: RunReport) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    return f"<ul>{items}</ul>" if items else ""


def _expected(report: RunReport) -> str:
    items = "".join(
        f"<li><b>{escape(e.metric)}: {e.value:g}</b> ({escape(e.status)}; "
        f"{escape('; '.join(filter(None, (e.source, e.note))))})</li>"
        for e in report.expected
    )
    return f"<ul>{items}</ul>" if items else ""


def _data(report: RunReport) -> dict[str, str]:
    data = report.dataset
    shape = "×".join(map(str, data.get("image_shape", ())))
    facts = {
        "name": data.get("name", ""),
        "images": f"{data.get('train', 0):,} train, {data.get('test', 0):,} test",
        "shape": shape,
        "classes": str(data.get("classes", 0)),
        "whitening": data.get("whitening", ""),
        "hash": str(data.get("hash", ""))[:12],
    }
    return {name: value for name, value in facts.items() if value}


def _ledger(report: RunReport) -> Iterable[tuple[str, int]]:
    yield from ((name, count) for name, count in report.storage.items() if count)
    if report.storage:
        yield "total", sum(report.storage.values())


def _section(title: str, *content: str) -> str:
    inside = "\n".join(filter(None, content))
    return f"<section><h2>{title}</h2>{inside}</section>" if inside else ""


def _facts(title: str, facts: Mapping[str, str]) -> str:
    lines = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>"
        for name, value in facts.items()
        if str(value)
    )
    return _section(title, f"<dl>{lines}</dl>") if lines else ""


def _words(name: str) -> str:
    return name.replace("_", " ")


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _list(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _bytes(count: int) -> str:
    if count < 1000:
        return f"{count} bytes"
    return f"{count / 1e6:,.2f} MB" if count >= 1e5 else f"{count / 1e3:,.1f} kB"


def _seconds(value: float) -> str:
    return f"{value / 60:.1f} min" if value >= 120 else f"{value:.1f} s"
