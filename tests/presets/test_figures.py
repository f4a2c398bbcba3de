"""Figures of presets: those called reproduced are in the file that they name."""

import json

import pytest

from experiments import figures
from jaxdd import methods, presets

FIGURES = [
    pytest.param(method, figure, id=f"{method}-{name}-{figure.result}")
    for method in methods.names()
    for name, preset in presets.get(method).items()
    for figure in preset.expected
    if figure.status == "reproduced"
]


@pytest.mark.parametrize(("method", "figure"), FIGURES)
def test_reproduced_figures_are_those_of_their_files(method, figure) -> None:
    path = figures.RESULTS / f"{figure.result}.json"
    rows = json.loads(path.read_text())["rows"]
    mean, _ = figures.figure(rows, method, figure.metric)
    assert abs(mean - figure.value) <= 6e-4, f"{path.name} says {mean:.4f}"


def test_only_reproduced_figures_name_a_file() -> None:
    for method in methods.names():
        for name, preset in presets.get(method).items():
            for figure in preset.expected:
                assert bool(figure.result) == (figure.status == "reproduced"), name
                assert figure.source
