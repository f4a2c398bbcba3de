"""Settings as format 1 wrote them, brought to the records of today.

The only place that knows old names: `RENAMED` says where the value of an old field
stands now, and `ADDED` what a new field is where there was none. Fields that a record's
chosen kind does not have were not read, and are dropped.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from jaxdd.records import Meta

__all__ = ["ADDED", "RENAMED", "upgrade", "upgrade_meta"]

RENAMED: dict[str, dict[str, str | None]] = {}
"""By record: old field to today's, dotted where it moved into a part; None = gone."""

ADDED: dict[str, dict[str, Any]] = {}
"""By record: values of fields that format 1 did not have."""


def upgrade_meta(meta: dict[str, Any]) -> dict[str, Any]:
    """The description of a set of format 1 as today's `Meta` in JSON.

    `config` stays as it was written: it tells what the program of then was asked for.
    """
    return upgrade(Meta, meta)


def upgrade(kind: Any, value: Any) -> Any:
    """JSON of a record as format 1 wrote it, as JSON of the record `kind`.

    Args:
      kind: a record of today, or an annotation of its fields.
      value: what `to_dict` of then made of it.

    Raises:
      KeyError: a field of format 1 has no place today, or the record has no such kind.
    """
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        records = [a for a in args if dataclasses.is_dataclass(a)]
        if value is None or not records:
            return value
        return _of_kind(records, value)
    if origin is tuple and isinstance(value, list):
        return [upgrade(args[0], part) for part in value]
    if not (dataclasses.is_dataclass(kind) and isinstance(value, dict)):
        return value
    moved = _moved(kind.__name__, value)  # type: ignore[union-attr]
    hints = typing.get_type_hints(kind)
    if unknown := sorted(set(moved) - set(hints)):
        raise KeyError(f"{kind.__name__}.{unknown[0]}")  # type: ignore[union-attr]
    return {name: upgrade(hints[name], part) for name, part in moved.items()}


def _moved(name: str, value: dict[str, Any]) -> dict[str, Any]:
    """The fields of a record under their names of today, parts as nested dicts."""
    moved: dict[str, Any] = dict(ADDED.get(name, {}))
    for old, entry in value.items():
        new = RENAMED.get(name, {}).get(old, old)
        if new is None:
            continue
        *parts, last = new.split(".")
        place = moved
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = entry
    return moved


def _of_kind(records: list[Any], value: dict[str, Any]) -> Any:
    """One of several kinds, told by its name; what only others have is left out."""
    if len(records) == 1:
        return upgrade(records[0], value)
    raise KeyError(f"kinds of {records}")
