"""Parameterisations of a synthetic set: what is learned, and how images come of it."""

from jaxdd.decoders.pixels import pixels

__all__ = ["pixels"]
