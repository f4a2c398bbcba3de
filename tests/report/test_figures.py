"""Figures: layout of the grids, what is highlighted, files that are pictures."""

import io

import numpy as np
import pytest
from PIL import Image

from jaxdd.records import Row
from jaxdd.report import figures


def texts(figure) -> list[str]:
    return [t.get_text() for axis in figure.axes for t in axis.texts]


def pictures(figure) -> list[np.ndarray]:
    return [image.get_array() for axis in figure.axes for image in axis.images]


def test_grid_has_a_named_column_per_class() -> None:
    label = np.array([1, 0, 1, 0, 2])
    image = np.arange(5)[:, None, None, None] / 10 * np.ones((5, 4, 4, 1))
    figure = figures.grid(image, label, ["ant", "bee", "cat"], "title")
    assert texts(figure)[0] == "title"
    assert set(texts(figure)[1:]) == {"ant", "bee", "cat"}
    # In reading order: the first of each class, then the second ones.
    shown = [round(float(p[0, 0]), 2) for p in pictures(figure)]
    assert shown == [0.1, 0.0, 0.4, 0.3, 0.2]


def test_grid_wraps_one_image_per_class_under_its_name() -> None:
    figure = figures.grid(np.zeros((12, 4, 4, 3)), np.arange(12))
    assert texts(figure)[1:] == [str(c) for c in range(12)]
    boxes = [i.get_extent() for axis in figure.axes for i in axis.images]
    assert len({box[0] for box in boxes}) == 10
    assert len({box[2] for box in boxes}) == 2


def test_grid_without_labels_says_how_many_are_shown() -> None:
    figure = figures.grid(np.zeros((150, 4, 4, 1)), None, (), "set")
    assert len(pictures(figure)) == 100
    assert texts(figure) == ["set (100 of 150 shown)"]


def test_contrast_spans_the_range_and_keeps_order() -> None:
    image = np.random.default_rng(0).normal(3, 7, (4, 8, 8, 1))
    shown = figures.contrast(image)
    assert shown.min() == 0.0
    assert shown.max() == 1.0
    inside = (shown > 0) & (shown < 1)
    assert (np.diff(shown[inside][np.argsort(image[inside])]) >= 0).all()
    assert np.isfinite(figures.contrast(np.ones((1, 2, 2, 1)))).all()


def test_curves_are_logarithmic_and_smoothed() -> None:
    loss = np.exp(-np.arange(400) / 100)
    figure = figures.curves([{"loss": loss}, {"loss": 2 * loss}])
    axis = figure.axes[0]
    assert axis.get_yscale() == "log"
    assert "2 seeds" in axis.get_title(loc="left")
    raw, smooth = axis.lines[0].get_ydata(), axis.lines[1].get_ydata()
    np.testing.assert_array_equal(raw, loss)
    assert len(smooth) == 400
    assert abs(smooth[200] / loss[200] - 1) < 0.02
    noisy = loss * np.random.default_rng(0).uniform(0.5, 1.5, 400)
    drawn = figures.curves([{"loss": noisy}]).axes[0].lines[1].get_ydata()
    assert np.abs(np.diff(drawn)).mean() < 0.2 * np.abs(np.diff(noisy)).mean()


def test_curves_of_negative_values_are_linear() -> None:
    figure = figures.curves([{"loss": np.array([1.0, -1.0])}])
    assert figure.axes[0].get_yscale() == "linear"


def test_bars_show_every_row_with_its_spread() -> None:
    rows = [
        Row("dm", "accuracy", 0.8, 0.01),
        Row("random", "accuracy", 0.6, 0.02),
        Row("dm", "representation_mse", 0.5, 0.1),
    ]
    figure = figures.bars(rows, "dm")
    first = figure.axes[0]
    assert [t.get_text() for t in first.texts] == ["80.0 %", "60.0 %"]
    assert [t.get_text() for t in first.get_yticklabels()] == ["dm", "random"]
    assert "higher is better" in first.get_title(loc="left")
    assert "lower is better" in figure.axes[1].get_title(loc="left")
    own, other = (patch.get_facecolor() for patch in first.patches)
    assert own != other


@pytest.mark.parametrize("channels", [1, 3])
def test_png_is_a_picture(channels: int) -> None:
    data = figures.png(figures.grid(np.zeros((3, 4, 4, channels)), np.arange(3)))
    assert Image.open(io.BytesIO(data)).format == "PNG"


def test_figures_leave_pyplot_alone() -> None:
    import sys

    before = "matplotlib.pyplot" in sys.modules
    figures.png(figures.curves([{"loss": np.ones(3)}]))
    assert ("matplotlib.pyplot" in sys.modules) == before
