"""Command-line arguments before and while they are parsed."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, get_args, get_origin

from jaxdd.kernels.spelling import parse_kernel, spelled_kernel
from jaxdd.records import KernelSpec
from jaxdd.run.kinds import kind_name, names, with_kinds

__all__ = ["Early", "parse_as", "read_early", "spelled_out"]

_PROGRAM = "experiments/run.py"
_SHORT = {
    "--networks": "--evaluate.labelled.networks",
    "--kernels": "--evaluate.regression.kernels",
}


@dataclass(frozen=True)
class Early:
    """All that is read of a command line before it is parsed; it decides the defaults.

    Values are words as they stand there, None or "" where an option is not given.
    """

    method: str | None = None
    preset: str = ""
    ipc: str | None = None
    size: str | None = None
    protocol: str = ""
    stage: str = ""
    smoke: bool = False
    set: str | None = None
    export: str | None = None
    data_name: str = ""
    data_dir: str = ""
    data_resize: str = ""


def read_early(arguments: Sequence[str]) -> Early:
    """The early options, the last value of each; everything else is passed over."""
    reader = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for field in dataclasses.fields(Early):
        flag = "--" + field.name.replace("_", ".")
        if isinstance(field.default, bool):
            action = argparse.BooleanOptionalAction
            reader.add_argument(flag, dest=field.name, action=action, default=False)
        else:
            # A value that is missing is the parser's to refuse.
            options = {"nargs": "?", "const": field.default, "default": field.default}
            reader.add_argument(flag, dest=field.name, **options)
    return Early(**vars(reader.parse_known_args(list(arguments))[0]))


def spelled_out(arguments: Sequence[str]) -> list[str]:
    """The arguments as the parser takes them: short names of options in full."""
    words = []
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        words.append(_SHORT.get(flag, flag) + equals + value)
    return words


def parse_as(
    kind: Any, arguments: Sequence[str], *, default: Any, description: str
) -> Any:
    """The arguments as a record of that kind.

    Raises:
      InputError: as `with_kinds`.
      SystemExit: --help (0), or options that the record does not have (2).
    """
    import tyro

    arguments, default = with_kinds(arguments, default)
    registry = tyro.constructors.ConstructorRegistry()
    registry.primitive_rule(_kernels)
    registry.primitive_rule(partial(kind_name, dict(names(default))))
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
    entries = set(get_args(info.type)) - {Ellipsis}
    known = {KernelSpec, *get_args(KernelSpec)}
    if get_origin(info.type) is not tuple or not entries or entries - known:
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
