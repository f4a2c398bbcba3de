"""What the presets on the embedded digits share: a small MLP and its students."""

from jaxdd.records import (
    DataSpec,
    Mlp,
    Protocol,
    Recipe,
    Sgd,
)

__all__ = ["DIGITS", "DIGITS_MLP", "DIGITS_STUDENT"]

DIGITS = DataSpec("digits")
DIGITS_MLP = Mlp(width=(64, 64))
DIGITS_STUDENT = Protocol(
    name="digits_mlp",
    network=DIGITS_MLP,
    train=Recipe(steps=300, optimiser=Sgd(0.05, 0.9)),
)
