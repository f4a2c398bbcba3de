"""How students are judged in a run: the protocol for its data, and who trains together.

The named protocols are fitted to the data once it is loaded; what was asked for
explicitly stays.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any, Literal, TypeVar

import jax

from jaxdd import protocols
from jaxdd.base import Corpus, InputError, PyTree
from jaxdd.data.catalogue import mirrors
from jaxdd.evaluation import Group, check_kernels, other_network
from jaxdd.records import Protocol
from jaxdd.run.config import LoopConfig, Options
from jaxdd.run.mesh import here, make_mesh, replicate, shard_rows, split_lead, spread

__all__ = ["fitted_protocol", "student_group", "with_protocol"]

_TOGETHER = 16  # students of one accelerator in one program
Config = TypeVar("Config", bound=Options)


def with_protocol(config: Config, evaluate: Protocol, corpus: Corpus) -> Config:
    """The configuration with its named protocol fitted to the data, if it names one.

    Args:
      config: of a run; its `evaluate` is the protocol of that name, changed where
        options said so.
      evaluate: the same as `config.evaluate`.
      corpus: the training data.

    Raises:
      InputError: a network or kernel of the protocol cannot take the images, or its
        ridge is out of range.
    """
    for name in evaluate.networks:  # before anything is distilled
        other_network(name, corpus.image_shape)
    check_kernels(evaluate, corpus.image_shape)
    if not config.protocol:
        return config
    size = getattr(config, "size", None) or (config.ipc or 0) * corpus.num_classes
    fitted = fitted_protocol(config.protocol, evaluate, corpus, size)
    return dataclasses.replace(config, evaluate=fitted)  # type: ignore[call-arg]


def fitted_protocol(
    name: str, asked: Protocol, corpus: Corpus, size: int | None
) -> Protocol:
    """The protocol for a data set, with the changes that `asked` makes to it.

    Args:
      name: of the protocol.
      asked: the protocol as it stands in the table, with changes.
      corpus: the training data.
      size: synthetic images.
    """
    made = protocols.named(
        name, corpus.image_shape, size=size or None, mirrors=mirrors(corpus.name)
    )
    return _rebased(asked, protocols.PROTOCOLS[name], made)


def _rebased(asked: Any, base: Any, made: Any) -> Any:
    """`made`, but where `asked` differs from `base` it stands."""
    if asked == base:
        return made
    alike = type(asked) is type(base) is type(made)
    if not (alike and dataclasses.is_dataclass(asked)):
        return asked
    names = [field.name for field in dataclasses.fields(asked)]
    parts = {n: _rebased(*(getattr(r, n) for r in (asked, base, made))) for n in names}
    return dataclasses.replace(asked, **parts)  # type: ignore[type-var]


def _gather(tree: PyTree) -> PyTree:
    return jax.device_get(here(tree))


def student_group(config: LoopConfig, students: int) -> Group:
    """How the students of a row are trained together on the run's devices.

    Each device has its own: one at a time on a CPU, up to 16 at once on an accelerator.
    Where there are more devices than students, the rows of a batch are split as well.

    Args:
      config: `student_devices` and `together`.
      students: of each row.

    Raises:
      InputError: a number out of range.
    """
    there = jax.device_count()
    if not 0 <= config.student_devices <= there:
        raise InputError(
            f"run.student_devices={config.student_devices}: there are {there}; 0 = all"
        )
    if jax.process_count() > 1 and config.student_devices not in (0, there):
        raise InputError(
            f"run.student_devices={config.student_devices}: a run of several processes"
            f" uses all {there} devices; leave it at 0"
        )
    if config.together < 0:
        raise InputError(f"run.together={config.together}: must be >= 0; 0 = as fits")
    count = config.student_devices or there
    cpu = jax.default_backend() == "cpu"
    how: Literal["map", "vmap"] = "map" if cpu else "vmap"
    together = config.together or (1 if cpu else _TOGETHER)
    if cpu and jax.process_count() == 1:
        count = min(count, students)  # threads share what is left of the cores anyway
    if count == 1:
        size = min(together, students)
        return Group(size, partial(spread, None, how)) if size > 1 else Group()
    seeds = math.gcd(students, count) if students < count else count
    mesh = make_mesh(seeds, count // seeds)
    return Group(
        size=seeds * max(1, min(together, students // seeds)),
        lift=partial(spread, mesh, how),
        place=partial(split_lead, mesh),
        place_shared=partial(replicate, mesh),
        gather=_gather,
        split=partial(shard_rows, mesh) if mesh.shape["data"] > 1 else None,
    )
