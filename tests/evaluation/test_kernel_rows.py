"""Rows by kernel ridge regression: their figures, and that they are kept apart."""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import kernels, select, whiten
from jaxdd.base import Synthetic
from jaxdd.errors import InputError
from jaxdd.evaluation import evaluate, krr_name
from jaxdd.evaluation import regression as regressions
from jaxdd.evaluation.regression import check_kernels, fit_kernel, predictor
from jaxdd.evaluation.students import seed_key
from jaxdd.kernels.ridge import Ridge
from jaxdd.kernels.spelling import parse_kernel
from jaxdd.records import (
    Fc,
    LinearKernel,
    NetworkKernel,
    Recipe,
    Regression,
    WideKernel,
)
from jaxdd.report import console, html
from jaxdd.report import report as reports
from jaxdd.report.report import RunReport
from tests.evaluation.cases import (
    MLP,
    Recorder,
    describe,
    labelled_set,
    protocol,
    representation_set,
    standard_dataset,
    teacher_outputs,
)

LINEAR, NTK = LinearKernel(), WideKernel("ntk", Fc(2))
FINITE = NetworkKernel("conjugate", dataclasses.replace(MLP, width=(3,)))
ONLY = Recipe(steps=0)
SHAPE = (8, 8, 1)


def white(corpus) -> np.ndarray:
    """The images of a split as networks see them, flat, in float64."""
    image = whiten.apply(corpus.whitening, whiten.to_unit(corpus.image))
    return np.asarray(image, np.float64).reshape(corpus.size, -1)


def by_hand(synthetic, test, ridge: float) -> np.ndarray:
    """Predictions of ridge regression with the linear kernel, in float64."""
    x = np.asarray(synthetic.image, np.float64).reshape(len(synthetic.image), -1)
    y = np.eye(4)[np.asarray(synthetic.target)] - 0.25
    gram = x @ x.T
    shift = ridge * np.trace(gram) / len(x) * np.eye(len(x))
    return white(test) @ x.T @ np.linalg.solve(gram + shift, y)


@pytest.fixture(scope="module")
def both():
    """A set judged by networks and by kernels, and by kernels alone."""
    data, drive = standard_dataset(), Recorder()
    short = dataclasses.replace(protocol().train, steps=3)
    asked = protocol(train=short, regression=Regression((LINEAR, NTK), 1e-3, full=1000))
    small = labelled_set(data, ipc=1, protocol=asked)
    report = evaluate([small], data, seeds=[0, 5], drive=drive)
    return data, small, report, drive.calls


def test_figures_are_those_of_the_regression_by_hand(both) -> None:
    data, small, report, calls = both
    label = np.asarray(data.test.label)
    row = report.find("dm", "accuracy", "krr linear")
    predicted = by_hand(small.synthetic, data.test, 1e-3)
    assert row.values == (pytest.approx((predicted.argmax(1) == label).mean()),)
    random = report.find("random", "accuracy", "krr linear")
    for value, seed in zip(random.values, (0, 5), strict=True):
        image, target, weight = calls[f"evaluate/random/seed{seed}/student"]["data"]
        drawn = by_hand(Synthetic(image, target, weight), data.test, 1e-3)
        assert value == pytest.approx((drawn.argmax(1) == label).mean())
    full = report.find("full", "accuracy", "krr ntk-fc-2")
    assert full.mean == 1.0  # all 48 real images


def test_rows_of_kernels_are_told_from_those_of_networks(both) -> None:
    _, _, report, calls = both
    assert report.find("dm", "accuracy").network == "mlp-16-none"
    networks = list(dict.fromkeys(row.network for row in report.rows))
    assert networks == ["mlp-16-none", "krr linear", "krr ntk-fc-2"]
    for name in networks[1:]:
        found = [r for r in report.rows if r.network == name]
        assert {r.set for r in found} == {"dm", "random", "class_mean", "full"}
        assert {r.metric for r in found} == {"accuracy", "ridge", "ridge_retries"}
    # Nothing random is in an analytic kernel: seeds differ in what is drawn.
    assert report.find("dm", "accuracy", "krr ntk-fc-2").seeds == 1
    assert report.find("random", "accuracy", "krr ntk-fc-2").seeds == 2
    assert len(calls) == 6  # no step was driven for a kernel


def page_of(report, method: str = "dm") -> tuple[RunReport, str]:
    whole = RunReport(
        method, rows=tuple(report.rows), dataset={"name": "toy"}, set={"size": 4}
    )
    return whole, html.page(whole, {})


def test_page_and_terminal_keep_them_apart(both, capsys) -> None:
    _, _, report, _ = both
    whole, page = page_of(report)
    rows = page.split("All rows")[1].split("By kernel ridge regression")
    assert "krr" not in rows[0]
    assert "mlp-16-none" not in rows[1].split("</table>")[0]
    assert rows[1].count("krr ntk-fc-2") == 4
    assert "no network is trained" in rows[1]
    assert "Test accuracy by trained networks" in page
    assert reports.architectures(whole.rows) is None
    assert all("krr" not in r.network for r in reports.main_rows(whole.rows))
    console.show_report(whole, Path("nowhere"))
    text = capsys.readouterr().out
    networks, kernels = text.split("kernel ridge regression")
    assert "krr" not in networks
    assert "krr ntk-fc-2" in kernels
    assert "mlp" not in kernels


def test_kernels_alone_train_nothing(both) -> None:
    data, small, report, _ = both
    asked = dataclasses.replace(small.meta.protocol, train=ONLY)
    alone = small._replace(meta=dataclasses.replace(small.meta, protocol=asked))
    drive = Recorder()
    found = evaluate([alone], data, seeds=[0, 5], drive=drive)
    assert drive.calls == {}
    assert found.rows == [r for r in report.rows if r.network.startswith("krr")]
    whole, page = page_of(found)
    assert "Test accuracy by krr linear" in page
    assert "All rows" not in page
    assert reports.headline(whole)[2].network == "krr linear"


def test_another_kernel_or_ridge_trains_nobody_again(both) -> None:
    data, small, report, _ = both
    store: dict = {}
    evaluate([small], data, seeds=[0], store=store, baselines=False)
    asked = dataclasses.replace(
        small.meta.protocol, regression=Regression((NTK,), 1e-1, full=1000)
    )
    other = small._replace(meta=dataclasses.replace(small.meta, protocol=asked))
    drive = Recorder()
    found = evaluate(
        [other], data, seeds=[0], drive=drive, store=store, baselines=False
    )
    assert drive.calls == {}
    assert found.find("dm", "ridge", "krr ntk-fc-2").mean == pytest.approx(0.1)
    assert report.find("dm", "ridge", "krr ntk-fc-2").mean == pytest.approx(1e-3)


def test_a_raised_ridge_is_reported() -> None:
    data = standard_dataset()
    asked = protocol(train=ONLY, regression=Regression((LINEAR,), 1e-9))
    small = labelled_set(data, ipc=1, protocol=asked)
    rows = jnp.asarray([0, 0, 0, 1, 2, 3])  # equal rows: float32 cannot factor them
    twice = jax.tree.map(lambda leaf: leaf[rows], small.synthetic)
    made = small._replace(synthetic=twice)
    report = evaluate([made], data, seeds=[0], baselines=False)
    retries = report.find("dm", "ridge_retries").mean
    used = report.find("dm", "ridge").mean
    assert retries >= 1
    assert used == pytest.approx(1e-9 * 10**retries, rel=0.01)
    assert f"raised tenfold {retries:g} times" in report.notes[0]
    assert "krr linear" in report.notes[0]


def test_weights_are_those_of_squared_errors() -> None:
    data = standard_dataset()
    image, target, _, _ = labelled_set(data, ipc=2).synthetic
    rows = jax.nn.one_hot(target, 4) - 0.25
    ridge, test = Ridge(0.5, "none"), white(data.test).reshape(-1, *SHAPE)
    apply = predictor(LINEAR, SHAPE)

    def predictions(chosen, weight) -> np.ndarray:
        support = Synthetic(image[chosen], rows[chosen], jnp.asarray(weight))
        fitted, _ = fit_kernel(LINEAR, ridge, support)
        return np.asarray(apply(fitted, jnp.asarray(test, jnp.float32)))

    everyone = np.arange(8)
    dropped = predictions(everyone, np.float32([0, 2, 1, 1, 1, 1, 1, 1]))
    again = predictions(np.array([1, 1, *range(2, 8)]), np.ones(8, np.float32))
    np.testing.assert_allclose(dropped, again, atol=1e-4)
    assert abs(dropped - predictions(everyone, np.ones(8, np.float32))).max() > 0.01


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = standard_dataset()
    image, target, weight, _ = labelled_set(data, ipc=2).synthetic
    support = Synthetic(image, jax.nn.one_hot(target, 4), weight)
    spec = LINEAR
    whole, _ = fit_kernel(spec, Ridge(1e-2), support)
    expected = predictor(spec, SHAPE)(whole, image)
    monkeypatch.setattr(regressions, "_BUDGET", 0)
    with pytest.raises(InputError, match=r"8 by 8 images .* takes .* bytes even one"):
        regressions._in_blocks(spec, SHAPE)(image, image, ())
    asked = []

    def three_by_five(*shapes, **options) -> kernels.Blocks:
        asked.append(shapes[1])
        return kernels.Blocks(3, 5, 0)

    monkeypatch.setattr(kernels, "choose_blocks", three_by_five)
    regressions._solver.cache_clear()
    regressions.predictor.cache_clear()
    parts, _ = fit_kernel(spec, Ridge(1e-2), support)
    np.testing.assert_allclose(parts.alpha, whole.alpha, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        regressions.predictor(spec, SHAPE)(parts, image), expected, atol=1e-5
    )
    assert asked == [(8, 8, 8, 1)] * 2
    regressions._solver.cache_clear()
    regressions.predictor.cache_clear()


def test_finite_kernels_are_drawn_for_each_seed() -> None:
    data = standard_dataset()
    asked = protocol(train=ONLY, regression=Regression((FINITE,), 1e-3))
    small = labelled_set(data, ipc=1, protocol=asked)
    report = evaluate([small], data, seeds=[0, 1, 2], baselines=False)
    row = report.find("dm", "accuracy", "krr conjugate-mlp-3-none")
    assert row.seeds == 3
    assert len(set(row.values)) > 1
    assert evaluate([small], data, seeds=[0, 1, 2], baselines=False).rows == report.rows


@pytest.mark.parametrize("loss", ["cross_entropy", "soft_cross_entropy", "mse"])
def test_soft_targets_are_centred(loss: str) -> None:
    data = standard_dataset()
    asked = protocol(
        train=Recipe(steps=0, loss=loss), regression=Regression((LINEAR,), 1e-3)
    )
    hard = labelled_set(data, ipc=2, protocol=asked)
    classes = jax.nn.one_hot(hard.synthetic.target, 4)
    target = {
        "cross_entropy": classes,
        "soft_cross_entropy": 100.0 * classes,
        "mse": classes - 0.25,
    }[loss]
    soft = hard._replace(
        synthetic=hard.synthetic._replace(target=target),
        meta=describe(data, "dm", "soft", protocol=asked),
    )
    rows = [evaluate([s], data, seeds=[0], baselines=False).rows for s in (hard, soft)]
    assert [r.values for r in rows[0]] == [pytest.approx(r.values) for r in rows[1]]


def test_representations_are_imitated() -> None:
    data = standard_dataset()
    asked = protocol(train=ONLY, regression=Regression((LINEAR,), 1e-2))
    small = representation_set(data, size=20, protocol=asked)
    report = evaluate([small], data, seeds=[0])
    truth = np.asarray(teacher_outputs(data.test))
    spread = ((truth - truth.mean(0, keepdims=True)) ** 2).sum()
    image = jnp.asarray(white(data.test).reshape(-1, *SHAPE), jnp.float32)

    def error(rows: jax.Array) -> float:
        known = teacher_outputs(data.train)[rows]
        support = select.subset(data.train, rows)._replace(target=known)
        fitted, _ = fit_kernel(LINEAR, Ridge(1e-2), support)
        predicted = np.asarray(predictor(LINEAR, SHAPE)(fitted, image))
        return float(((predicted - truth) ** 2).sum() / spread)

    drawn = select.random_rows(seed_key(0, "random"), data.train, 20, None)
    for name, rows in (("krr_ssl", jnp.arange(20)), ("random", drawn)):
        row = report.find(name, "representation_mse", "krr linear")
        assert row.mean == pytest.approx(error(rows), rel=1e-3)
    assert len(report.rows) == 6


def test_kernels_that_are_not_finite_are_refused() -> None:
    data = standard_dataset()
    asked = protocol(train=ONLY, regression=Regression((LINEAR,)))
    small = labelled_set(data, protocol=asked)
    image = small.synthetic.image.at[3, 0, 0, 0].set(jnp.nan)
    broken = small._replace(synthetic=small.synthetic._replace(image=image))
    with pytest.raises(InputError, match="set 'dm': the kernel linear has entries"):
        evaluate([broken], data, seeds=[0], baselines=False)


def test_settings_of_regressions_are_checked() -> None:
    wrong = {
        "ridge=0": {"ridge": 0.0},
        "ridge=-1": {"ridge": -1.0},
        "ridge=nan": {"ridge": float("nan")},
        "ridge.scale='mean' is unknown": {"ridge_scale": "mean"},
        "full=-1": {"full": -1},
        "'linear' is named twice": {"kernels": (LINEAR, LINEAR)},
        "depth=0: must be at least 1": {"kernels": (WideKernel("ntk", Fc(0)),)},
    }
    for message, changes in wrong.items():
        with pytest.raises(InputError, match=message):
            check_kernels(protocol(regression=Regression(**changes)), SHAPE)
    check_kernels(protocol(regression=Regression((LINEAR, NTK))), SHAPE)


def test_rows_bear_the_name_that_is_typed() -> None:
    assert krr_name(NTK) == "krr ntk-fc-2"
    assert parse_kernel("ntk-fc-2") == NTK
