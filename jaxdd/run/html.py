"""`report.html`: one self-contained page, readable on a phone and in print."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from jaxdd.run import report as reports
from jaxdd.run.figures import LOWER_IS_BETTER, number, title_of
from jaxdd.run.report import RunReport

__all__ = ["page"]

_CAPTIONS = {
    "rows": "The rows of the table below; whiskers, where there are several seeds, are"
    " one standard deviation.",
    "architectures": "The same students' training, under other networks.",
    "grid": "The images, brought back from the space that networks see.",
    "grid_raw": "The same images as networks see them: whitened, one contrast for all.",
    "loss": "Loss of the distillation on real batches: each step, and a running mean.",
}


def page(report: RunReport, pictures: Mapping[str, bytes]) -> str:
    """The whole page.

    Args:
      report: what was measured.
      pictures: PNG files by name: rows, grid, grid_raw, loss; missing ones are left
        out.

    Returns:
      HTML without any reference to another file or host.
    """
    parts = [
        _header(report),
        _headline(report),
        _figure(pictures, "rows"),
        _section("Across architectures", *_architectures(report, pictures)),
        _section("The distilled set", _figure(pictures, "grid"), _raw(pictures)),
        _section("How it was learned", _figure(pictures, "loss"), _loss(report)),
        _section("All rows", _rows(report), _notes(report)),
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
    return _PAGE.format(title=title, style=_STYLE, body="\n".join(filter(None, parts)))


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
    chips = [report.preset, report.rows[0]["protocol"] if report.rows else ""]
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
    cards = [_card(report.method, metric, own, "own")]
    if random is not None:
        cards.append(_card("random real images", metric, random, ""))
        cards.append(_comparison(metric, own["mean"], random["mean"]))
    return f'<div class="cards">{"".join(cards)}</div>'


def _card(name: str, metric: str, row: Mapping[str, Any], style: str) -> str:
    spread = f" ± {number(metric, row['std'])}" if row["seeds"] > 1 else ""
    seeds = f"{row['seeds']} seed{'s' if row['seeds'] > 1 else ''}"
    return (
        f'<div class="card {style}"><b>{number(metric, row["mean"])}</b>'
        f"<span>{escape(name)}</span>"
        f"<small>{escape(title_of(metric))}{spread}, {seeds}</small></div>"
    )


def _comparison(metric: str, own: float, random: float) -> str:
    if metric in LOWER_IS_BETTER:
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
    lines, last = [], ""
    for row in reports.by_metric(report.rows):
        metric = row["metric"]
        top = reports.is_best(report.rows, row)
        style = " ".join(
            ["first"] * (metric != last)
            + ["own"] * (row["set"] == report.method)
            + ["best"] * top
        )
        direction = "↓" if metric in LOWER_IS_BETTER else "↑"
        name = f"{title_of(metric)} {direction}" if metric != last else ""
        last = metric
        cells = [
            name,
            row["set"],
            number(metric, row["mean"]),
            number(metric, row["std"]) if row["seeds"] > 1 else "–",
            str(row["seeds"]),
            row["network"],
            row["protocol"],
        ]
        inner = "".join(
            f'<td class="{head}">{escape(str(cell))}</td>'
            for head, cell in zip(heads, cells, strict=True)
        )
        lines.append(f'<tr class="{style}">{inner}</tr>')
    head = "".join(f"<th class={name}>{name}</th>" for name in heads)
    note = "<p class=muted>Bold: best of its metric, the full data set aside.</p>"
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>{note}"
    )


def _architectures(report: RunReport, pictures: Mapping[str, bytes]) -> tuple[str, ...]:
    """Networks by sets, the mean over those that the set was not made with below."""
    found = reports.architectures(report.rows)
    if found is None:
        return ()
    lines = []
    for network in found.networks:
        cells = [_cell(found, network, name) for name in found.sets]
        lines.append(f"<tr><td>{escape(network)}</td>{''.join(cells)}</tr>")
    means = [
        f"<td class=mean>{number(found.metric, found.unseen[name])}</td>"
        if name in found.unseen
        else "<td></td>"
        for name in found.sets
    ]
    lines.append(f"<tr class=first><td>mean, first aside</td>{''.join(means)}</tr>")
    heads = "".join(f"<th class=mean>{escape(name)}</th>" for name in found.sets)
    table = (
        f'<div class="scroll"><table><thead><tr><th>network</th>{heads}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
    return _figure(pictures, "architectures"), table


def _cell(found: reports.Architectures, network: str, name: str) -> str:
    row = found.cells.get((network, name))
    if row is None:
        return "<td></td>"
    spread = f" ± {number(found.metric, row['std'])}" if row["seeds"] > 1 else ""
    text = f"{number(found.metric, row['mean'])}{spread}"
    return f"<td class=mean>{text} <small>({row['seeds']})</small></td>"


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


_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><main>
{body}
</main></body></html>
"""

_STYLE = """
:root{--ink:#1f2430;--muted:#667085;--line:#e4e7ec;--paper:#fff;--back:#f5f6f8;
--accent:#2f5fd0;--good:#157f4b;--bad:#b3372f;color-scheme:light}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:880px;margin:0 auto;padding:24px 16px 48px}
header h1{font-size:2rem;line-height:1.2;margin:.2em 0 0}
header small{color:var(--muted);font-weight:400}
header p{margin:.3em 0}
.chips span{display:inline-block;background:#e8edf9;color:#274690;border-radius:99px;
padding:1px 10px;margin:2px 6px 2px 0;font-size:.8rem}
section,figure,.card{background:var(--paper);border:1px solid var(--line);
border-radius:12px}
section{padding:16px 20px;margin:16px 0}
section figure{border:0;margin:0 0 8px}
main>figure{padding:12px;margin:16px 0}
h2{font-size:1.1rem;margin:0 0 10px}
img{display:block;max-width:100%;height:auto;margin:0 auto}
figcaption,.muted{color:var(--muted);font-size:.85rem;margin-top:6px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(190px,1fr));gap:12px;
margin:16px 0}
.card{padding:14px 18px;display:flex;flex-direction:column}
.card b{font-size:2rem;line-height:1.15;font-variant-numeric:tabular-nums}
.card small{color:var(--muted)}
.own b{color:var(--accent)} .good b{color:var(--good)} .bad b{color:var(--bad)}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem;white-space:nowrap}
th{text-align:left;color:var(--muted);font-weight:500;font-size:.8rem}
th,td{padding:5px 12px 5px 0}
th.mean,td.mean,th.std,td.std,th.seeds,td.seeds{text-align:right;
font-variant-numeric:tabular-nums}
tr.first td{border-top:1px solid var(--line)}
td.metric{color:var(--muted)} td.network,td.protocol{color:var(--muted);font-size:.8rem}
tr.own td.set{color:var(--accent);font-weight:600} tr.best td.mean{font-weight:700}
.columns{columns:2;column-gap:16px}
.columns section{break-inside:avoid;margin:0 0 16px}
dl{display:grid;grid-template-columns:auto 1fr;gap:2px 14px;margin:0;font-size:.9rem}
dt{color:var(--muted)} dd{margin:0;text-align:right;overflow-wrap:anywhere;
font-variant-numeric:tabular-nums}
pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem;
user-select:all;background:var(--back);border-radius:8px;padding:10px 12px}
summary{cursor:pointer;color:var(--accent)}
ul{margin:.4em 0;padding-left:1.2em}
@media(max-width:600px){.columns{columns:1} td.network,th.network,td.protocol,
th.protocol{display:none} section{padding:14px 14px} header h1{font-size:1.6rem}
.cards{grid-template-columns:repeat(2,1fr)} .own{grid-column:1/-1}
.card b{font-size:1.6rem}}
@media print{body{background:#fff} section,figure{break-inside:avoid}}
"""
