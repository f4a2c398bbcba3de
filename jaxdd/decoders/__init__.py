"""Parameterisations of a synthetic set: what is learned, and how images come of it."""

from jaxdd.decoders.basis import basis, rows_in_budget
from jaxdd.decoders.flip import flip
from jaxdd.decoders.hyper import learned_rate, with_hyper
from jaxdd.decoders.labels import (
    Targets,
    centred,
    expert_logits,
    learned_probabilities,
    teacher_outputs,
)
from jaxdd.decoders.noise import noisy_pixels, started, unit_noise, xavier_uniform
from jaxdd.decoders.pixels import pixels
from jaxdd.decoders.transform import transformed

__all__ = [
    "Targets",
    "basis",
    "centred",
    "expert_logits",
    "flip",
    "learned_probabilities",
    "learned_rate",
    "noisy_pixels",
    "pixels",
    "rows_in_budget",
    "started",
    "teacher_outputs",
    "transformed",
    "unit_noise",
    "with_hyper",
    "xavier_uniform",
]
