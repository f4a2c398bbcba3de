"""Fresh students: what they are trained on, their training, and their outputs.

Everything that decides a compiled program is made once per distinct settings and
cached, and arrays are passed as data: all seeds, and all rows of one shape, share it.
"""

import math
import zlib
from functools import lru_cache

import jax

from jaxdd import networks
from jaxdd.base import Key, Network
from jaxdd.errors import InputError
from jaxdd.records import Protocol

__all__ = ["seed_key", "seen_from_start"]


def seed_key(seed: int, purpose: str) -> Key:
    """The key of one use of a seed: the same for every row, so that rows are paired."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))


def seen_from_start(network: Network, protocol: Protocol) -> Network:
    """The student as the protocol centres and scales it; equal arguments, the same.

    Raises:
      InputError: a scale that is not positive.
    """
    scale = protocol.label_scale
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"evaluate.label_scale={scale}: must be positive")
    return _seen_from_start(network, protocol.centred, scale)


@lru_cache(maxsize=64)
def _seen_from_start(network: Network, centre: bool, scale: float) -> Network:
    return networks.centred(network, centre=centre, scale=scale)
