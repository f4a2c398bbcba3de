"""Parameterisations of a synthetic set: what is learned, and how images come of it."""

from jaxdd.decoders.basis import basis, rows_in_budget
from jaxdd.decoders.flip import flip
from jaxdd.decoders.hyper import learned_rate, with_hyper
from jaxdd.decoders.labels import learned_probabilities
from jaxdd.decoders.noise import noisy_pixels, started, unit_noise, xavier_uniform
from jaxdd.decoders.pixels import pixels
from jaxdd.decoders.transform import transformed

__all__ = [
    "basis",
    "flip",
    "learned_probabilities",
    "learned_rate",
    "noisy_pixels",
    "pixels",
    "rows_in_budget",
    "started",
    "transformed",
    "unit_noise",
    "with_hyper",
    "xavier_uniform",
]
