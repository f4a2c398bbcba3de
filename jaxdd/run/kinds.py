"""Kinds chosen on the command line, before the parser sees it.

`--distill.network resnet18` makes the field a record of that kind, so that the parser
offers its options and no others.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any, get_args, get_type_hints

from jaxdd.errors import InputError, nearest
from jaxdd.records import kinds_at
from jaxdd.run.config import replaced

__all__ = ["kind_name", "names", "with_kinds"]


def with_kinds(arguments: Sequence[str], default: Any) -> tuple[list[str], Any]:
    """Chooses the kinds that arguments name: `--distill.network resnet18`.

    The parser then gets records whose options are those of their kind, in any order.

    Args:
      arguments: the command line.
      default: the record it is about.

    Returns:
      The other arguments, and the record with fields of the kinds that were asked for.

    Raises:
      InputError: there is no such kind, or an option belongs to another kind than the
        one that was chosen; the message suggests the nearest.
    """
    flags: list[tuple[list[str], slice]] = []
    for at, argument in enumerate(arguments):
        flag, equals, _ = argument.partition("=")
        if flag.startswith("--"):
            path = flag[2:].replace("-", "_").removesuffix(".name").split(".")
            flags.append((path, slice(at, at + (1 if equals else 2))))
    rest: list[str | None] = list(arguments)
    # A kind inside another is there once the outer one is chosen.
    for path, where in sorted(flags, key=lambda flag: len(flag[0])):
        words = [word for word in arguments[where] if word is not None]
        value = words[0].partition("=")[2] if "=" in words[0] else words[-1]
        if kinds_at(default, path) and not value.startswith("-"):
            default = replaced(default, path, value, ".".join(path))
            rest[where] = [None] * len(words)
    for path, where in flags:
        if rest[where.start] is not None and kinds_at(default, path[:-1]):
            _check_option(default, path)
    return [word for word in rest if word is not None], default


def names(record: Any) -> Iterator[tuple[Any, tuple[str, ...]]]:
    """The names of all kinds of a union, by the type of the name of the one chosen."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if known := kinds_at(record, [field.name]):
            yield get_type_hints(type(value))["name"], tuple(known)
        if dataclasses.is_dataclass(value):
            yield from names(value)


def kind_name(known: dict[Any, tuple[str, ...]], info: Any) -> Any:
    """The name of a kind: help shows all that can be chosen (by `with_kinds`)."""
    import tyro

    if info.type not in known:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs=1,
        metavar="{" + ",".join(known[info.type]) + "}",
        instance_from_str=lambda words: words[0],
        is_instance=lambda value: value in get_args(info.type),
        str_from_instance=lambda value: [value],
    )


def _check_option(default: Any, path: list[str]) -> None:
    """Refuses an option that the chosen kind does not have."""
    record = reduce(getattr, path[:-1], default)
    names = [field.name for field in dataclasses.fields(record)]
    name = path[-1].removeprefix("no_")
    if {name, path[-1]} & {*names}:
        return
    known = kinds_at(default, path[:-1])
    owners = [n for n, kind in known.items() if name in kind.__dataclass_fields__]
    place = ".".join(path[:-1])
    belongs = f" It belongs to {', '.join(owners)}: --{place} NAME." if owners else ""
    raise InputError(
        f"--{place}.{path[-1]}: {record.name} has no such option."
        f"{belongs or nearest(name, names)} It has {', '.join(names[1:])}"
    )
