"""Fresh students: what they are trained on, their training, and their outputs.

Everything that decides a compiled program is made once per distinct settings and
cached, and arrays are passed as data: all seeds, and all rows of one shape, share it.
"""

import math
import zlib
from collections.abc import Callable
from functools import lru_cache

import jax

from jaxdd import networks
from jaxdd.base import Key, Network
from jaxdd.errors import InputError
from jaxdd.evaluation.measure import Entry, Measurement, one_by_one
from jaxdd.evaluation.setting import Setting
from jaxdd.records import Protocol
from jaxdd.training.examples import Examples, fresh
from jaxdd.training.together import Student

__all__ = ["centred_student", "seed_key", "untrained_entry"]


def seed_key(seed: int, purpose: str) -> Key:
    """The key of one use of a seed: the same for every row, so that rows are paired."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))


def untrained_entry(
    setting: Setting,
    network: Network,
    examples: Callable[[int], Examples],
    measurements: dict[str, Measurement],
) -> Entry:
    """The row of the untrained student, the same that every other row starts from.

    Args:
      setting: gives the seeds.
      network: of the student.
      examples: the set's own, by position; their recipe tells how it is initialised.
      measurements: what is measured of it.
    """

    def student(position: int, stage: str) -> Student:
        del stage
        key = seed_key(setting.seeds[position], "student")
        return Student(fresh(key, network, examples(position)), {})

    return Entry("scratch", one_by_one(student), measurements)


def centred_student(network: Network, protocol: Protocol) -> Network:
    """The student as the protocol centres and scales it; equal arguments, the same.

    Raises:
      InputError: a scale that is not positive.
    """
    scale = protocol.labelled.label_scale
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"evaluate.labelled.label_scale={scale}: must be positive")
    return _centred_student(network, protocol.labelled.centred, scale)


@lru_cache(maxsize=64)
def _centred_student(network: Network, centre: bool, scale: float) -> Network:
    return networks.centred(network, centre=centre, scale=scale)
