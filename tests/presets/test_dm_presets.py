"""The published settings of DM."""

import pytest

from jaxdd import presets
from jaxdd.base import Task
from jaxdd.methods.matching.dm import dm


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("cifar10_paper", (32, 32, 3), 10),
        ("cifar100_paper", (32, 32, 3), 100),
        ("mnist_paper", (28, 28, 1), 10),
    ],
)
def test_published_settings_of_dm(name, shape, classes):
    preset = presets.pick("dm", name)
    flips = "mnist" not in name
    for spec in (preset.distill.augment, preset.evaluate.train.augment):
        assert spec.policy == "dsa"
        assert ("flip" in (spec.strategy or "flip")) == flips
    assert preset.evaluate.name == "vico"
    assert (preset.distill.optimiser.learning_rate, preset.distill.batch) == (1.0, 256)
    assert preset.steps == 20_000
    # 28x28 images stay as they are; the network pads them to its 32x32.
    assert (preset.data.pad, preset.data.resize) == (0, None)
    task = Task(shape, classes, 10 * classes, 10, preset.steps, 50_000)
    method = dm(task, preset.distill)
    assert method.feed.batch == 256
