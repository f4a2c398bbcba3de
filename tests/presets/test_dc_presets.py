"""The published settings of DC and DSA."""

import pytest

from jaxdd import methods, presets
from jaxdd.base import Task
from jaxdd.pools.matched import loops

NAMES = [
    (method, name)
    for method in ("dc", "dsa")
    for name in presets.get(method)
    if name.endswith("_paper")
]


@pytest.mark.parametrize(("method", "name"), NAMES)
def test_published_settings_of_gradient_matching(method, name):
    preset = presets.pick(method, name)
    shape = (28, 28, 1) if name.startswith(("mnist", "fashion")) else (32, 32, 3)
    classes = 100 if name.startswith("cifar100") else 10
    task = Task(shape, classes, preset.ipc * classes, preset.ipc, preset.steps, 50_000)
    assert methods.get(method).build(task, preset.distill).feed.batch == 256
    config = preset.distill
    assert (config.optimiser.learning_rate, config.optimiser.momentum) == (0.1, 0.5)
    assert config.init == ("noise" if method == "dc" else "real")
    assert preset.steps == 1001 * loops(preset.ipc)[0]
    assert 0.1 < preset.expected[0].value < 1
    student = preset.evaluate.train
    if method == "dc":
        assert student.epochs == (1001 if name.startswith("mnist") else 301)
        return
    assert student.epochs == 1001
    mirrored = not name.startswith(("mnist", "svhn"))
    for spec in (config.augment, student.augment):
        assert spec.policy == ("fyi" if "fyi" in name else "dsa")
        assert ("flip" in (spec.strategy or "flip")) == mirrored


def test_every_row_of_the_tables_is_there():
    rows = [n for _, n in NAMES if "fyi" not in n]
    assert len(rows) == 14 + 15  # DC has no figure for CIFAR-100 at 50 images
    assert len([n for n in rows if "_ipc" not in n]) == 10
