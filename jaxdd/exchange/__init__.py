"""Anybody's distilled sets: reading those of other projects, writing ours for them."""

from jaxdd.exchange.locate import Peek, find, peek
from jaxdd.exchange.reading import ORDERS, read
from jaxdd.exchange.space import SPACES
from jaxdd.exchange.writing import FORMATS, Written, write

__all__ = [
    "FORMATS",
    "ORDERS",
    "SPACES",
    "Peek",
    "Written",
    "find",
    "peek",
    "read",
    "write",
]
