"""The tables of the trajectory methods: every row fits its data and its experts."""

import pytest

from jaxdd import methods, presets
from jaxdd.base import Segments, Task

NAMES = ("mtt", "tesla", "ftd", "datm", "ast")
SHAPES = {
    "digits": (8, 8, 1, 10),
    "mnist": (28, 28, 1, 10),
    "cifar10": (32, 32, 3, 10),
    "cifar100": (32, 32, 3, 100),
    "tinyimagenet": (64, 64, 3, 200),
    "imagenette": (128, 128, 3, 10),
    "imagenet": (64, 64, 3, 1000),
}


@pytest.mark.parametrize("method", NAMES)
def test_every_row_builds_for_its_data(method):
    for name, preset in presets.get(method).items():
        known = preset.data.name if preset.data.name in SHAPES else name.split("_")[0]
        height, width, channels, classes = SHAPES[known]
        task = Task(
            (height, width, channels),
            classes,
            classes * preset.ipc,
            preset.ipc,
            preset.steps,
            50_000,
        )
        distiller = methods.get(method).build(task, preset.distill)
        assert isinstance(distiller.feed, Segments), name
        assert preset.distill.experts.network == preset.evaluate.network, name


def test_learned_logits_are_learned_from_as_logits():
    for name, preset in presets.get("datm").items():
        assert preset.evaluate.train.loss == "soft_cross_entropy", name
    for method in set(NAMES) - {"datm"}:
        for name, preset in presets.get(method).items():
            assert preset.evaluate.train.loss == "cross_entropy", (method, name)


def test_published_rows_train_students_at_the_learned_rate():
    for method in NAMES:
        for name, preset in presets.get(method).items():
            published = name.endswith(("_paper", "_code"))
            assert preset.evaluate.own_rate == published, (method, name)


def test_the_programs_half_gradient_is_in_the_rates():
    rows = presets.get("tesla")
    rates = {name: row.distill.optimiser.learning_rate for name, row in rows.items()}
    assert rates["cifar10_ipc1_code"] == 500
    assert rates["imagenet_code"] == 5000
