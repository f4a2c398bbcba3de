"""How students are judged in a run: the protocol for its data, and who trains together.

The named protocols are fitted to the data once it is loaded; what was asked for
explicitly stays.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar

from jaxdd.base import Corpus
from jaxdd.data.catalogue import mirrors
from jaxdd.evaluation import check_kernels, other_network
from jaxdd.presets import protocols
from jaxdd.records import Protocol
from jaxdd.run.config import RunConfig

__all__ = ["check_students", "fitted_protocol", "with_protocol"]

Config = TypeVar("Config", bound=RunConfig)


def with_protocol(config: Config, corpus: Corpus) -> Config:
    """The configuration with its named protocol fitted to the data, if it names one.

    Args:
      config: of a run; its `evaluate` is the protocol of that name, changed where
        options said so.
      corpus: the training data.

    Raises:
      InputError: a network or kernel of the protocol cannot take the images, or its
        ridge is out of range.
    """
    check_students(config.evaluate, corpus)
    if not config.protocol:
        return config
    size = config.size or (config.ipc or 0) * corpus.num_classes
    fitted = fitted_protocol(config.protocol, config.evaluate, corpus, size)
    return dataclasses.replace(config, evaluate=fitted)


def check_students(protocol: Protocol, corpus: Corpus) -> None:
    """Refuses, before anything runs, what a protocol cannot measure on these images.

    Raises:
      InputError: a network or kernel cannot take them, or the ridge is out of range.
    """
    for name in protocol.labelled.networks:
        other_network(name, corpus.image_shape)
    check_kernels(protocol, corpus.image_shape)


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
