"""Settings as format 1 wrote them, brought to the records of today.

The only place that knows old names: `RENAMED` says where the value of an old field
stands now, and `ADDED` what a new field is where there was none. Fields that the chosen
one of several kinds does not have were not read, and are dropped.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from jaxdd.records import Meta, Sgd, to_dict
from jaxdd.records.kinds import kind_of, kinds

__all__ = ["ADDED", "RENAMED", "upgrade", "upgrade_meta"]

_OPTIMISERS = {"outer": "optimiser", "inner": "network_optimiser"}

RENAMED: dict[str, dict[str, str]] = {
    "Protocol": {
        **{
            name: f"labelled.{name}"
            for name in (
                *("networks", "own_rate", "learning_rates", "check_every", "report"),
                *("ranking", "replay", "centred", "label_scale"),
            )
        },
        "full_train": "labelled.full",
        "full": "representation.full",
        "own": "representation.own",
        "target": "transfer.targets",
        "target_dir": "transfer.dir",
        "target_train_limit": "transfer.train_limit",
        "target_test_limit": "transfer.test_limit",
        "kernels": "regression.kernels",
        "ridge": "regression.ridge",
        "ridge_scale": "regression.ridge_scale",
        "kernel_full": "regression.full",
    },
    "ConvNet": {
        "activation": "activation.name",
        "sharpness": "activation.sharpness",
        "batch_momentum": "batch_norm.momentum",
        "running_variance": "batch_norm.running_variance",
    },
    "WideKernel": {
        **{n: f"architecture.{n}" for n in ("depth", "pooling")},
        "architecture": "architecture.name",
    },
    "Sgd": {
        **{n: f"schedule.{n}" for n in ("boundaries", "factor", "restart", "rates")},
        "schedule": "schedule.name",
        "final": "schedule.final",
        "warmup": "warmup.steps",
        "warmup_start": "warmup.start",
        "warmup_share": "warmup.share",
    },
    "KrrSslConfig": _OPTIMISERS,
    "FrepoConfig": {
        **_OPTIMISERS,
        "inner_batch": "network_batch",
        "flip": "mirror",
    },
    "RcigConfig": {**_OPTIMISERS, "flip": "mirror"},
    "DcConfig": {"epochs": "network_epochs"},
    "DsaConfig": {"epochs": "network_epochs"},
    "DdConfig": {"epochs": "passes"},
    "RatBpttConfig": {
        "inner_optimiser": "network_optimiser",
        "share": "window_repeat",
    },
    "TrajectoryConfig": {"batch": "student_batch", "epochs": "expert_epochs"},
}
"""By record: old field to today's, dotted where it moved into a part. What stands for
one kind of several holds for all of them."""

ADDED: dict[str, dict[str, Any]] = {
    "TrajectoryConfig": {
        **{"momentum": 0.0, "middle": "off", "balance": False, "perturb": 0.0},
        **{"labels": "class", "label_optimiser": to_dict(Sgd(2.0, 0.9))},
        **{"ramp_from": 0, "ramp_steps": 0, "threshold": 0.0},
    },
}
"""By record: values of fields that format 1 did not have."""


def upgrade_meta(meta: dict[str, Any]) -> dict[str, Any]:
    """The description of a set of format 1 as today's `Meta` in JSON.

    `config` stays as it was written: it tells what the program of then was asked for.

    Raises:
      KeyError: a field of it has no place today.
    """
    return upgrade(Meta, meta)


def upgrade(kind: Any, value: Any) -> Any:
    """JSON of a record as format 1 wrote it, as JSON of the record `kind`.

    Args:
      kind: a record of today, or an annotation of its fields.
      value: what `to_dict` of then made of it.

    Raises:
      KeyError: a field of format 1 has no place today.
      InputError: there is no such kind of a record.
    """
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple and isinstance(value, list):
        return [upgrade(args[0], part) for part in value]
    if not isinstance(value, dict):
        return value
    if known := kinds(kind):
        return _of_kind(known, value)
    if origin in (typing.Union, types.UnionType):  # a record or None
        return upgrade(next(a for a in args if dataclasses.is_dataclass(a)), value)
    if not dataclasses.is_dataclass(kind):
        return value
    return _fields(kind, _moved(value, _rows(RENAMED, kind)))


def _fields(kind: Any, moved: dict[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    if unknown := sorted(moved.keys() - _names(kind)):
        raise KeyError(f"{kind.__name__} has no field {unknown[0]!r}")
    parts = {name: upgrade(hints[name], part) for name, part in moved.items()}
    return _rows(ADDED, kind) | parts


def _rows(table: dict[str, dict[str, Any]], *records: Any) -> dict[str, Any]:
    """What a table says of records and of those they extend."""
    names = [base.__name__ for record in records for base in record.__mro__]
    return {k: v for name in names for k, v in table.get(name, {}).items()}


def _moved(value: dict[str, Any], renamed: dict[str, str]) -> dict[str, Any]:
    """The fields under their names of today, parts as nested dicts."""
    moved: dict[str, Any] = {}
    for old, entry in value.items():
        *parts, last = renamed.get(old, old).split(".")
        place = moved
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = entry
    return moved


def _of_kind(known: dict[str, type], value: dict[str, Any]) -> dict[str, Any]:
    """One of several kinds, told by its name; what only others have is left out."""
    if value.get("rates"):  # of an optimiser, in place of its schedule
        value = value | {"schedule": "listed"}
    moved = _moved(value, _rows(RENAMED, *known.values()))
    kind = kind_of(known, moved.get("name"), "name")
    unread = set().union(*map(_names, known.values())) - _names(kind)
    return _fields(kind, {n: part for n, part in moved.items() if n not in unread})


def _names(kind: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(kind)}
