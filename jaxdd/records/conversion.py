"""Records to and from JSON, and their hash by content."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from pathlib import Path
from typing import Any

from jaxdd.errors import InputError, nearest
from jaxdd.records.kinds import kind_of, kinds

__all__ = ["digest", "from_dict", "to_dict"]


def to_dict(record: Any) -> Any:
    """A record as nested dicts, lists and plain values, ready for JSON."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {
            f.name: to_dict(getattr(record, f.name)) for f in dataclasses.fields(record)
        }
    if isinstance(record, dict):
        return {str(name): to_dict(value) for name, value in record.items()}
    if isinstance(record, list | tuple):
        return [to_dict(value) for value in record]
    return str(record) if isinstance(record, Path) else record


def from_dict(kind: Any, value: Any) -> Any:
    """The inverse of `to_dict` for a record type or annotation `kind`.

    Which of a union's records a dict stands for, its `name` says.

    Raises:
      InputError: a field is unknown to the record, or no record of the union has the
        name; the message suggests the nearest.
    """
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        unknown = sorted(set(value) - set(hints))
        if unknown:
            hint = nearest(unknown[0], hints)
            raise InputError(f"{kind.__name__} has no field {unknown[0]!r}.{hint}")
        return kind(**{n: from_dict(hints[n], v) for n, v in value.items()})
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        if known := kinds(kind):
            return from_dict(kind_of(known, value.get("name"), "name"), value)
        return from_dict(next(a for a in args if a is not type(None)), value)
    if origin is tuple:
        each = [args[0]] * len(value) if args[-1] is Ellipsis else args
        return tuple(from_dict(k, v) for k, v in zip(each, value, strict=True))
    return Path(value) if kind is Path else value


def digest(*records: Any) -> str:
    """SHA-256 (first 16 hex digits) over the JSON form of the records."""
    text = json.dumps([to_dict(r) for r in records], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
