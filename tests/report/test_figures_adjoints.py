"""The picture of adjoints side by side."""

import io
import math

import pytest

from jaxdd.report.figures_adjoints import adjoints as picture
from jaxdd.unroll.compare import Comparison, Row


@pytest.mark.parametrize("variance", [math.nan, 0.2])
def test_picture_has_a_panel_a_quantity(variance):
    rows = (
        Row("step", 1.0, 0.0, variance, 2_500_000, 3e9, 0.0125),
        Row("separable", -0.5, 0.25, variance, 1000, 3e6, 1.5),
    )
    figure = picture(Comparison("Backprop()", rows), "title")
    assert len(figure.axes) == (4 if math.isnan(variance) else 5)
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["step", "separable"]
    figure.savefig(io.BytesIO(), format="png")  # warnings are errors
    colours = {bar.get_facecolor() for bar in figure.axes[0].patches}
    assert len(colours) == 2  # the exact one differs
