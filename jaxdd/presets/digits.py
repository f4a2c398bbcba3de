"""What the presets on the embedded digits share: a small MLP and its students."""

import dataclasses
from typing import Any

from jaxdd.records import DataSpec, Mlp, Preset, Protocol, Recipe, Sgd

__all__ = ["DIGITS", "DIGITS_MLP", "DIGITS_STUDENT", "on_digits"]

DIGITS = DataSpec("digits")
DIGITS_MLP = Mlp(width=(64, 64))
DIGITS_STUDENT = Protocol(
    name="digits_mlp",
    network=DIGITS_MLP,
    train=Recipe(steps=300, optimiser=Sgd(0.05, 0.9)),
)


def on_digits(distill: Any, steps: int, **changes: Any) -> Preset:
    """A preset for two CPU cores, one image per class unless `changes` say else."""
    preset = Preset(
        distill=distill,
        data=DIGITS,
        ipc=1,
        steps=steps,
        evaluate=DIGITS_STUDENT,
        source="a small version of the paper's recipe, for two CPU cores",
        hours="a minute",
        hardware="2 CPU cores",
    )
    return dataclasses.replace(preset, **changes)
