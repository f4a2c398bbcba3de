"""Mistakes in what the user gave, and how they are worded."""

import difflib
import math
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["InputError", "check_numbers", "nearest"]


def nearest(name: object, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """A question that names the most similar known one, or nothing.

    Args:
      name: what was given.
      known: what could have been.
      cutoff: least similarity, in [0, 1].

    Returns:
      " Did you mean 'x'?", with the space in front, or "".
    """
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=cutoff)
    return f" Did you mean {near[0]!r}?" if near else ""


class InputError(ValueError):
    """A mistake in what the user gave: a name, a value, a file, an array.

    The message names the argument, the value, what is allowed and what to do. The
    command line prints it without a traceback and exits with code 2.
    """


def check_numbers(
    config: Any,
    *,
    counts: tuple[str, ...] = (),
    positive: tuple[str, ...] = (),
    not_negative: tuple[str, ...] = (),
    shares: tuple[str, ...] = (),
) -> None:
    """Refuses numbers out of range.

    Args:
      config: a method's settings.
      counts: fields that must be at least 1.
      positive: fields that must be finite and above 0.
      not_negative: fields that must be finite and at least 0.
      shares: fields that must be in [0, 1).

    Raises:
      InputError: names the field, its value and what is allowed.
    """
    rules: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (
        (counts, lambda v: v >= 1, "at least 1"),
        (positive, lambda v: math.isfinite(v) and v > 0, "positive"),
        (not_negative, lambda v: math.isfinite(v) and v >= 0, "at least 0"),
        (shares, lambda v: 0 <= v < 1, "in [0, 1)"),
    )
    for names, holds, allowed in rules:
        for name in names:
            value = getattr(config, name)
            if not holds(value):
                raise InputError(f"distill.{name}={value}: must be {allowed}")
