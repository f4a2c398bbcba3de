"""Parameterisations of a synthetic set: what is learned, and how images come of it."""

from jaxdd.decoders.hyper import learned_rate, with_hyper
from jaxdd.decoders.pixels import pixels

__all__ = ["learned_rate", "pixels", "with_hyper"]
