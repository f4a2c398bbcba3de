"""Every preset of every method can be built for the data that it names."""

import pytest

from jaxdd import methods, presets
from jaxdd.base import Task

# Image shape and classes; the shape where `resize` is left alone.
SHAPES = {
    "digits": ((8, 8, 1), 10),
    "mnist": ((28, 28, 1), 10),
    "fashion_mnist": ((28, 28, 1), 10),
    "svhn": ((32, 32, 3), 10),
    "cifar10": ((32, 32, 3), 10),
    "cifar100": ((32, 32, 3), 100),
    "cub2011": ((64, 64, 3), 200),
    "tinyimagenet": ((64, 64, 3), 200),
    "folder": ((64, 64, 3), 1000),  # of ImageNet; its subsets have fewer
}


def task_of(preset: presets.Preset) -> Task:
    """The task that the data of a preset would make, before any data are read."""
    data, ((height, width, channels), classes) = preset.data, SHAPES[preset.data.name]
    if data.resize:
        height = width = data.resize
    shape = (height + 2 * data.pad, width + 2 * data.pad, channels)
    size = preset.size or classes * (preset.ipc or 1)
    return Task(
        image_shape=shape,
        num_classes=classes,
        size=size,
        ipc=preset.ipc,
        num_steps=preset.steps,
        train_size=1347 if data.name == "digits" else 50_000,
        whitening=data.whitening,
    )


@pytest.mark.parametrize("name", methods.names())
def test_every_preset_builds_for_its_data(name: str) -> None:
    method = methods.get(name)
    for preset_name, preset in presets.get(name).items():
        task = task_of(preset)
        assert (preset.ipc is None) != (preset.size is None), preset_name
        distiller = method.build(task, preset.distill)
        assert distiller.image_floats <= task.size * height_times_width(task)


def height_times_width(task: Task) -> int:
    """Numbers in an image."""
    height, width, channels = task.image_shape
    return height * width * channels
