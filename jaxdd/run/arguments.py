"""Command-line arguments before and while they are parsed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args, get_origin

from jaxdd.kernels.spelling import parse_kernel, spelled_kernel
from jaxdd.records import KernelSpec

__all__ = ["parse_as", "peek", "spelled_out"]

_PROGRAM = "experiments/run.py"
_SHORT = {"--networks": "--evaluate.networks", "--kernels": "--evaluate.kernels"}


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """The arguments with short names of options in full."""
    found = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        found.append(_SHORT.get(flag, flag) + equals + value)
    return found


def peek(arguments: Sequence[str], name: str) -> str | None:
    """The last value of an option, before anything is parsed."""
    flags = {f"--{name}", f"--{name.replace('_', '-')}"}
    found = None
    for position, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        if flag in flags and equals:
            found = value
        elif flag in flags and position + 1 < len(arguments):
            found = arguments[position + 1]
    return found


def parse_as(
    kind: Any, arguments: Sequence[str], *, default: Any, description: str
) -> Any:
    """The arguments as a record of that kind.

    Raises:
      SystemExit: --help (0), or options that the record does not have (2).
    """
    import tyro

    registry = tyro.constructors.ConstructorRegistry()
    registry.primitive_rule(_kernels)
    return tyro.cli(
        kind,
        args=arguments,
        default=default,
        prog=_PROGRAM,
        description=description,
        config=(tyro.conf.AvoidSubcommands,),
        registry=registry,
    )


def _kernels(info: Any) -> Any:
    """Kernels are spelled in one word each, as networks are named."""
    import tyro

    # The parser knows a tuple that has a default by the kinds of its entries.
    kinds = set(get_args(info.type)) - {Ellipsis}
    if get_origin(info.type) is not tuple or kinds != {KernelSpec}:
        return None
    return tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="[KERNEL [KERNEL ...]]",
        instance_from_str=lambda words: tuple(map(parse_kernel, words)),
        is_instance=lambda value: (
            isinstance(value, tuple) and all(isinstance(v, KernelSpec) for v in value)
        ),
        str_from_instance=lambda value: [spelled_kernel(spec) for spec in value],
    )
