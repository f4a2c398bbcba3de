"""The one training loop: students, teachers, SSL targets, experts and pool members."""

from jaxdd.training.trainer import (
    Average,
    Direction,
    Gradient,
    Loss,
    Trainer,
    TrainState,
    fit_step,
    scan_drive,
    supervised,
    train,
    trainer,
)

__all__ = [
    "Average",
    "Direction",
    "Gradient",
    "Loss",
    "TrainState",
    "Trainer",
    "fit_step",
    "scan_drive",
    "supervised",
    "train",
    "trainer",
]
