"""`--list`: the methods by family, their parts and presets."""

from __future__ import annotations

from collections.abc import Iterator

from jaxdd import methods, presets
from jaxdd.report import console

__all__ = ["show_methods"]

_HEADS = ("method", "decoder × objective × networks × adjoint, data", "presets")


def show_methods() -> None:
    """A table for each family: parts, targets, presets with the default first."""
    for family, names in methods.families().items():
        title = f"{family}: {methods.describe(family)}"
        console.show(console.table(_HEADS, _rows(names), title=title, left=3))


def _rows(names: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    for name in names:
        method = methods.get(name)
        known, default = presets.get(name), presets.default(name)
        ordered = [default, *(n for n in known if n != default)]
        *parts, data = method.parts
        joined = f"{' × '.join(parts)}, {data}; {method.targets}s"
        yield name, joined, ", ".join(ordered)
