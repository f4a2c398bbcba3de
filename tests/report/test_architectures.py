"""Several networks in one report: table, picture, page and terminal."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jaxdd.records import Row
from jaxdd.report import console, figures, html
from jaxdd.report import report as reports
from jaxdd.report.report import RunReport


def row(network: str, name: str, mean: float, seeds: int = 3) -> Row:
    std, values = 0.01 if seeds > 1 else 0.0, (mean,) * seeds
    return Row(
        name, "accuracy", mean, std, seeds, network, "vico", values, tuple(range(seeds))
    )


@pytest.fixture
def report() -> RunReport:
    error = replace(row("convnet-32", "dm", 0.2), metric="calibration_error")
    rows = (
        row("convnet-32", "dm", 0.45),
        row("convnet-32", "random", 0.35),
        row("convnet-32", "full", 0.8),
        error,
        row("mlp", "dm", 0.25),
        row("mlp", "random", 0.30),
        row("vit", "dm", 0.15, seeds=1),
        row("vit", "random", 0.20, seeds=1),
    )
    return RunReport("dm", rows=rows, dataset={"name": "cifar10"}, set={"size": 100})


def test_the_mean_leaves_the_own_network_out(report: RunReport) -> None:
    found = reports.architectures(report.rows)
    assert found is not None
    assert found.networks == ["convnet-32", "mlp", "vit"]
    assert found.sets == ["dm", "random"]  # the whole data has one network only
    assert found.unseen == pytest.approx({"dm": 0.2, "random": 0.25})
    assert found.cells["vit", "dm"].seeds == 1


def test_one_network_is_no_table(report: RunReport) -> None:
    own = reports.main_rows(report.rows)
    assert {r.network for r in own} == {"convnet-32"}
    assert len(own) == 4
    assert reports.architectures(own) is None
    assert reports.architectures(()) is None


def test_the_best_is_found_under_each_network(report: RunReport) -> None:
    best = {(r.network, r.set) for r in report.rows if reports.is_best(report.rows, r)}
    assert ("convnet-32", "dm") in best
    assert ("mlp", "random") in best
    assert ("vit", "random") in best
    assert ("convnet-32", "full") not in best
    assert reports.best(report.rows, "accuracy", "mlp") == 0.30
    assert reports.best(report.rows, "calibration_error") == 0.2


def test_page_picture_and_terminal_show_it(report: RunReport, capsys) -> None:
    found = reports.architectures(report.rows)
    assert found is not None
    picture = figures.png(figures.architectures(found, "dm"))
    page = html.page(report, {"architectures": picture})
    assert "Across architectures" in page
    assert "15.0 % <small>(1)</small>" in page
    assert "25.0 % ± 1.0 % <small>(3)</small>" in page
    assert "mean, first aside" in page
    console.show_report(report, Path("nowhere"))
    text = capsys.readouterr().out
    assert "Test accuracy by network" in text
    assert "25.0 % ± 1.0 %" in text
    assert "lower" not in text


def test_bars_are_as_long_as_the_figures(report: RunReport) -> None:
    found = reports.architectures(report.rows)
    assert found is not None
    axis = figures.architectures(found, "dm").axes[0]
    lengths = sorted(bar.get_width() for bar in axis.patches)
    expected = sorted(r.mean for r in found.cells.values() if r.set != "full")
    np.testing.assert_allclose(lengths, expected)
    assert [label.get_text() for label in axis.get_yticklabels()] == found.networks
