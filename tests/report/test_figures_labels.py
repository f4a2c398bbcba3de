"""The picture of learned labels."""

import numpy as np
import pytest

from jaxdd.report.figures import png
from jaxdd.report.figures_labels import labels


def test_small_sets_show_numbers_and_names() -> None:
    target = np.asarray([[0.9, -0.1], [-0.3, 0.4], [0.0, 0.2]])
    figure = labels(target, ("cat", "dog"), "three labels")
    axis = figure.axes[0]
    assert [text.get_text() for text in axis.texts[:2]] == ["0.90", "-0.10"]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["cat", "dog"]
    (image,) = axis.images
    np.testing.assert_array_equal(image.get_array(), target)
    assert image.get_clim() == (-0.9, 0.9)
    assert png(figure)[:4] == b"\x89PNG"


@pytest.mark.parametrize("shape", [(120, 10), (30, 200), (1, 3)])
def test_large_sets_are_cut_and_say_so(shape: tuple[int, int]) -> None:
    figure = labels(np.zeros(shape), title="labels")
    axis = figure.axes[0]
    assert axis.images[0].get_array().shape == (min(shape[0], 100), min(shape[1], 100))
    assert ("by" in axis.get_title(loc="left")) == (max(shape) > 100)
