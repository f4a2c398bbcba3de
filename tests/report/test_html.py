"""The page: self-contained, complete, escaped."""

import re

from jaxdd.records import Expected, Row
from jaxdd.report import html, report
from jaxdd.report.report import RunReport


def row(name: str, metric: str, mean: float) -> Row:
    return Row(name, metric, mean, 0.01, 2, "convnet-4", "plain", (0.1, 0.2))


def example(**changes) -> RunReport:
    fields = {
        "method": "krr_ssl",
        "preset": "digits",
        "config_hash": "12345678",
        "dataset": {"name": "digits", "train": 1000, "image_shape": [8, 8, 1]},
        "set": {"size": 50, "targets": "representation"},
        "rows": (
            row("krr_ssl", "representation_mse", 0.4),
            row("krr_ssl", "knn", 0.7),
            row("random", "representation_mse", 0.8),
            row("random", "knn", 0.9),
            row("full", "representation_mse", 0.1),
        ),
        "notes": ("a <note>",),
        "teacher": {"knn": 0.95},
        "loss": {"first": 2.0, "last": 1.0},
        "storage": {"images": 12_800, "modules": 2_000_000},
        "expected": (Expected("ratio", 0.9, "the paper"),),
        "seconds": {"distill": 12.3},
        "versions": {"jax": "0.10"},
        "command": "python experiments/run.py --method krr_ssl --ipc '<1>'",
    }
    return RunReport(**(fields | changes))


def test_page_needs_nothing_else() -> None:
    text = html.page(example(), {"rows": b"png", "grid": b"png"})
    for pattern in (r'src="(?!data:)', r"href=", r"url\(", "<script", "@import"):
        assert not re.search(pattern, text), pattern
    assert text.count("data:image/png;base64,cG5n") == 2
    assert "width=device-width" in text


def test_page_says_everything() -> None:
    text = html.page(example(), {})
    for part in (
        "krr_ssl",
        "50 images",
        "0.50×",  # of the random subset's error
        "Representation error ↓",
        "12345678",
        "0.95",
        "12.8 kB",
        "2.00 MB",
        "ratio: 0.9",
        "-50 %",
        "12.3 s",
        "0.10",
    ):
        assert part in text, part


def test_page_escapes_what_it_is_given() -> None:
    text = html.page(example(), {})
    assert "a &lt;note&gt;" in text
    assert "<note>" not in text
    assert "&lt;1&gt;" in text


def test_best_rows_leave_the_full_data_out() -> None:
    text = html.page(example(), {})
    lines = re.findall(r"<tr.*?</tr>", text)
    best = [
        re.findall(r'class="set[^"]*">(.*?)<', line)[0]
        for line in lines
        if 'class="mean best"' in line
    ]
    assert best == ["krr_ssl", "random"]  # the first by error, the second by knn


def test_worse_than_random_is_said() -> None:
    rows = (row("dm", "accuracy", 0.5), row("random", "accuracy", 0.6))
    text = html.page(example(method="dm", rows=rows), {})
    assert "worse" in text
    assert "-10.0" in text


def test_rows_of_a_metric_stand_together() -> None:
    rows = report.by_metric(example().rows)
    assert [r.metric for r in rows] == ["representation_mse"] * 3 + ["knn"] * 2


def test_report_comes_back_from_disk(tmp_path) -> None:
    assert report.read(tmp_path) is None
    report.write(example(), tmp_path)
    again = report.read(tmp_path)
    assert again is not None
    assert again.expected == example().expected
    assert again.rows == example().rows
    assert again == example()


def test_page_without_rows() -> None:
    assert "krr_ssl" in html.page(example(rows=()), {})
