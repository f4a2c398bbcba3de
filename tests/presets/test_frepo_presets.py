"""The published settings of FRePo and of RCIG."""

import pytest

from jaxdd import presets
from jaxdd.base import Task
from jaxdd.methods.kernel.frepo import frepo
from jaxdd.methods.kernel.frepo_presets import DATA
from jaxdd.methods.kernel.rcig import rcig

# Mirror images while distilling, and steps of students, as in the authors' scripts.
ROWS = [
    ("mnist", 10, "", False, 2000),
    ("cifar10", 1, "_ipc1", True, 1000),
    ("cifar100", 1, "_ipc1", True, 2000),
    ("cifar100", 10, "", False, 10_000),
    ("cifar100", 50, "_ipc50", False, 40_000),
    ("tiny", 10, "", False, 40_000),
    ("imagenette", 1, "_ipc1", True, 1000),
]


@pytest.mark.parametrize(("data", "ipc", "name", "flip", "steps"), ROWS)
def test_published_settings_of_frepo(data, ipc, name, flip, steps) -> None:
    preset = presets.pick("frepo", f"{data}{name}_paper")
    _, shape, classes = DATA[data]
    config, student = preset.distill, preset.evaluate
    assert (config.flip, student.train.steps, preset.steps) == (flip, steps, 500_000)
    assert (config.batch, config.pool, config.max_age) == (1024, 10, 100)
    assert (config.network.norm, student.network.norm) == ("batch", "none")
    depth = {28: 3, 32: 3, 64: 4, 128: 5}[shape[0]]
    assert config.network.width == tuple(128 * 2**i for i in range(depth))
    assert student.network.width == config.network.width
    flips = "flip" in (student.train.augment.strategy or "flip")
    assert flips == (shape[2] == 3)
    task = Task(shape, classes, ipc * classes, ipc, preset.steps, 50_000)
    assert frepo(task, config).feed.batch == 1024


@pytest.mark.parametrize(
    ("name", "flip", "activation", "ridge", "steps"),
    [
        ("mnist_ipc1_code", False, "softplus", 5e-4, 1000),
        ("cifar10_code", True, "softplus", 5e-4, 2000),
        ("cifar100_ipc50_code", False, "softplus", 5e-4, 2000),
        ("tiny_ipc1_code", True, "relu", 5e-4, 2000),
        ("imagenette_code", True, "relu", 5e-2, 2000),
    ],
)
def test_published_settings_of_rcig(name, flip, activation, ridge, steps) -> None:
    preset = presets.pick("rcig", name)
    config, data = preset.distill, name.split("_")[0]
    assert (config.flip, config.ridge) == (flip, ridge)
    assert config.network.activation == activation
    assert (config.outer.name, config.outer.learning_rate) == ("adabelief", 3e-3)
    assert preset.evaluate.train.steps == steps
    assert preset.evaluate.train.optimiser.learning_rate == 1e-4
    _, shape, classes = DATA[data]
    size = preset.ipc * classes
    task = Task(shape, classes, size, preset.ipc, preset.steps, 50_000)
    assert rcig(task, config).feed.batch == 1024
