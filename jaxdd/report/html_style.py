"""What `report.html` looks like."""

__all__ = ["PAGE", "STYLE"]

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><main>
{body}
</main></body></html>
"""

STYLE = """
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
