"""The published settings of dd, bptt, rtp and rat_bptt, as their cards list them."""

import pytest

from jaxdd import methods, presets
from jaxdd.base import Task

SHAPES = {
    "digits": ((8, 8, 1), 10),
    "mnist": ((28, 28, 1), 10),
    "cifar10": ((32, 32, 3), 10),
    "cifar100": ((32, 32, 3), 100),
    "tinyimagenet": ((64, 64, 3), 200),
    "folder": ((64, 64, 3), 1000),
}
CASES = [
    (method, name)
    for method in ("dd", "bptt", "rtp", "rat_bptt")
    for name in presets.get(method)
]


@pytest.mark.parametrize(("method", "name"), CASES)
def test_bilevel_presets_build(method, name):
    preset = presets.pick(method, name)
    shape, classes = SHAPES[preset.data.name]
    size = classes * preset.ipc
    task = Task(shape, classes, size, preset.ipc, preset.steps, 50_000)
    distiller = methods.get(method).build(task, preset.distill)
    numbers = size * shape[0] * shape[1] * shape[2]
    assert distiller.image_floats <= numbers
    assert bool(distiller.image_floats) == (method == "rtp")
    assert preset.evaluate.replay == (method == "dd")


@pytest.mark.parametrize(
    ("name", "steps", "total", "batch", "rows", "classes", "rate", "labels"),
    [
        ("cifar10_paper", 60, 200, 5000, 10, 0, 1e-3, "hard"),
        ("cifar100_paper", 100, 300, 5000, 1, 0, 1e-3, "learned"),
        ("cifar100_ipc1_paper", 90, 130, 5000, 1, 0, 3e-4, "learned"),
        ("tiny_paper", 100, 300, 1000, 1, 50, 3e-4, "learned"),
        ("tiny_end_code", 90, 270, 2000, 1, 50, 3e-4, "learned"),
        ("imagenet_paper", 80, 280, 1500, 1, 50, 3e-4, "learned"),
    ],
)
def test_published_rows_of_rat_bptt(
    name, steps, total, batch, rows, classes, rate, labels
):
    config = presets.pick("rat_bptt", name).distill
    assert (config.inner_steps, config.total, config.batch) == (steps, total, batch)
    assert (config.inner_per_class, config.inner_classes) == (rows, classes)
    assert (config.optimiser.learning_rate, config.labels) == (rate, labels)
    assert (config.inner_optimiser, config.rate) == ("adam", 1e-3)
    end = name in ("cifar100_ipc1_paper", "tiny_end_code", "imagenet_paper")
    assert config.policy == ("end" if end else "random")


def test_published_rows_of_bptt_and_rtp():
    plain = presets.pick("bptt", "cifar10_paper")
    memory = presets.pick("rtp", "cifar10_paper")
    for config in (plain.distill, memory.distill):
        assert (config.inner_steps, config.momentum, config.rate) == (150, 0.9, 0.01)
        assert (config.batch, config.clip) == (64, 2.0)
        assert (config.optimiser.learning_rate, config.optimiser.momentum) == (0.1, 0.5)
    assert plain.distill.inner_per_class == 10
    assert plain.data.whitening == "zca_kip"
    assert (memory.distill.bases, memory.distill.downscale) == (16, 2)
    assert memory.distill.inner_per_class == 32


@pytest.mark.parametrize(
    ("name", "batches", "epochs", "rate", "start"),
    [
        ("mnist_paper", 10, 3, 0.02, "random"),
        ("mnist_fixed_paper", 1, 3, 0.02, "fixed"),
        ("cifar10_paper", 10, 3, 0.001, "random"),
        ("cifar10_fixed_paper", 10, 3, 0.001, "fixed"),
    ],
)
def test_published_rows_of_dd(name, batches, epochs, rate, start):
    preset = presets.pick("dd", name)
    config = preset.distill
    assert (config.batches, config.epochs, config.rate) == (batches, epochs, rate)
    assert (config.start, config.batch, preset.ipc) == (start, 1024, batches)
    assert (config.optimiser.learning_rate, config.optimiser.b1) == (0.01, 0.5)
