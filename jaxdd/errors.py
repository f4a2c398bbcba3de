"""Mistakes in what the user gave, and how they are worded."""

import dataclasses
import difflib
import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

__all__ = ["InputError", "check_choices", "check_numbers", "nearest", "one_of"]


class InputError(ValueError):
    """A mistake in what the user gave: a name, a value, a file, an array.

    The message names the argument, the value, what is allowed and what to do. The
    command line prints it without a traceback and exits with code 2.
    """


def nearest(name: object, known: Iterable[str]) -> str:
    """A question that names the most similar known one, or nothing.

    Args:
      name: what was given.
      known: what could have been.

    Returns:
      " Did you mean 'x'?", with the space in front, or "".
    """
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f" Did you mean {near[0]!r}?" if near else ""


def one_of(name: str, value: object, allowed: Iterable[Any], advice: str = "") -> None:
    """Refuses a value that is none of those allowed.

    Args:
      name: of the argument, dotted as the command line has it.
      value: what was given.
      allowed: what could have been, in the order in which it is to be told.
      advice: what else the user can do, a sentence without its full stop.

    Raises:
      InputError: names all of them, and the nearest.
    """
    choices = tuple(allowed)
    if value in choices:
        return
    words = [str(choice) for choice in choices]
    raise InputError(
        f"{name}={value!r} is unknown.{nearest(value, words)} Choose one of "
        f"{', '.join(words)}{advice and f'. {advice}'}"
    )


def check_choices(record: Any, name: str = "") -> None:
    """Refuses values that the types of a record's fields do not list.

    Fields with a `Literal` (or None) are looked at, in this record and in those that
    stand in its fields.

    Args:
      record: a dataclass of settings.
      name: in front of the fields' names, such as "distill".

    Raises:
      InputError: names the field, its value and what is allowed.
    """
    for field, choices in _choices(type(record)).items():
        value = getattr(record, field)
        place = f"{name}.{field}" if name else field
        if choices:
            one_of(place, value, choices)
        elements = value if isinstance(value, tuple) else (value,)
        for element in elements:
            if dataclasses.is_dataclass(element):
                check_choices(element, place)


@lru_cache
def _choices(kind: type) -> dict[str, tuple[Any, ...]]:
    """The values that the type of each field lists; empty where it lists none."""
    hints = get_type_hints(kind)
    return {f.name: _listed(hints[f.name]) for f in dataclasses.fields(kind)}


def _listed(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is Literal:
        return get_args(hint)
    if get_origin(hint) in (Union, UnionType):
        members = [(None,) if a is NoneType else _listed(a) for a in get_args(hint)]
        return tuple(v for m in members for v in m) if all(members) else ()
    return ()


def check_numbers(
    record: Any,
    *,
    counts: tuple[str, ...] = (),
    positive: tuple[str, ...] = (),
    not_negative: tuple[str, ...] = (),
    shares: tuple[str, ...] = (),
    probabilities: tuple[str, ...] = (),
    name: str = "distill",
) -> None:
    """Refuses numbers out of range; None, where a field allows it, is in range.

    Args:
      record: a dataclass of settings, such as a method's.
      counts: fields that must be at least 1.
      positive: fields that must be finite and above 0.
      not_negative: fields that must be finite and at least 0.
      shares: fields that must be in [0, 1).
      probabilities: fields that must be in [0, 1].
      name: in front of the fields' names.

    Raises:
      InputError: names the field, its value and what is allowed.
    """
    rules: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
        (counts, lambda v: v >= 1, "at least 1"),
        (positive, lambda v: math.isfinite(v) and v > 0, "positive"),
        (not_negative, lambda v: math.isfinite(v) and v >= 0, "at least 0"),
        (shares, lambda v: 0 <= v < 1, "in [0, 1)"),
        (probabilities, lambda v: 0 <= v <= 1, "in [0, 1]"),
    )
    for fields, holds, allowed in rules:
        for field in fields:
            value = getattr(record, field)
            if value is not None and not holds(value):
                raise InputError(f"{name}.{field}={value}: must be {allowed}")
