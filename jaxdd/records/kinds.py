"""Kinds: the records of which a field holds one, told apart by their `name`.

A field annotated `A | B` takes a record of either kind. The first field of each is
`name`, a Literal of the names that the record stands for, with a default. So a field
stands only in the record of the kind that it belongs to.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from jaxdd.errors import InputError, nearest

__all__ = ["kind_of", "kinds", "kinds_at", "switched"]


def kinds(annotation: Any) -> dict[str, type]:
    """The records of a union by name; empty where the annotation is no such union."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return {}
    return {
        name: kind
        for kind in typing.get_args(annotation)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
        for name in typing.get_args(typing.get_type_hints(kind).get("name"))
    }


def kind_of(known: Mapping[str, type], name: object, argument: str) -> type:
    """The record of that name.

    Args:
      known: the records of a union by name.
      name: one of theirs.
      argument: what the message calls the field.

    Raises:
      InputError: there is none of that name; the message suggests the nearest.
    """
    if name not in known:
        raise InputError(
            f"{argument}={name!r}: choose one of {', '.join(known)}."
            f"{nearest(name, known)}"
        )
    return known[str(name)]


def switched(
    record: Any, known: Mapping[str, type], name: str, argument: str = "name"
) -> Any:
    """The record as one of another kind, with the fields that both kinds share.

    A value that the new kind does not allow gives way to its default.

    Args:
      record: of any kind of the union.
      known: the records of the union by name.
      name: of the new kind.
      argument: what a message calls the field.

    Raises:
      InputError: there is no kind of that name; the message suggests the nearest.
    """
    kind = kind_of(known, name, argument)
    if isinstance(record, kind):
        return dataclasses.replace(record, name=name)  # type: ignore[type-var]
    old, new = typing.get_type_hints(type(record)), typing.get_type_hints(kind)
    kept = {field: getattr(record, field) for field in old.keys() & new.keys()}
    kept = {
        field: value
        for field, value in kept.items()
        if old[field] == new[field] or value in typing.get_args(new[field])
    }
    return kind(**kept | {"name": name})


def kinds_at(record: Any, path: Sequence[str]) -> dict[str, type]:
    """The kinds of the field at a path of names; empty where there are none."""
    for part in path[:-1]:
        record = getattr(record, part, None)
    if not path or not dataclasses.is_dataclass(record):
        return {}
    return kinds(typing.get_type_hints(type(record)).get(path[-1]))
