"""Kernels as the command line and the report spell them, such as ntk-fc-2."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any, get_args, get_type_hints

from jaxdd.errors import InputError, nearest
from jaxdd.networks import network_name
from jaxdd.records import (
    Architecture,
    Conv,
    KernelSpec,
    LinearKernel,
    NetworkSpec,
    RandomFeatures,
    WideKernel,
    kinds,
)

__all__ = ["parse_kernel", "spelled_kernel"]

_HOW = (
    "give one as ntk-fc-2, nngp-conv-3-global, ntk-convnet3-erf, ntk-fc-1-w1-b0,"
    " linear, conjugate-convnet-32-32-none or random_features:8-convnet-256-256-none"
)


def spelled_kernel(spec: KernelSpec) -> str:
    """A kernel in words joined by "-"; `parse_kernel` reads it.

    Of the networks of finite kernels it has name, widths and norm.
    """
    if isinstance(spec, WideKernel):
        return "-".join([spec.name, *_wide_words(spec)])
    if isinstance(spec, LinearKernel):
        return spec.name
    several = f":{spec.members}" if isinstance(spec, RandomFeatures) else ""
    return f"{spec.name}{several}-{network_name(spec.network)}"


def _wide_words(spec: WideKernel) -> list[str]:
    """The architecture and what is not as usual."""
    layers, plain = spec.architecture, WideKernel()
    words: list[str] = [layers.name]
    if not isinstance(layers, Architecture):
        words.append(str(layers.depth))
    if isinstance(layers, Conv) and layers.pooling != "none":
        words.append(layers.pooling)
    if spec.activation != plain.activation:
        words.append(spec.activation)
    if spec.weight_std != plain.weight_std:
        words.append(f"w{spec.weight_std:g}")
    if spec.bias_std != plain.bias_std:
        words.append(f"b{spec.bias_std:g}")
    return words + [spec.backend] * (spec.backend != plain.backend)


def parse_kernel(text: str) -> KernelSpec:
    """The kernel that is spelled so.

    Raises:
      InputError: a word is not known; the message suggests the nearest.
    """
    head, *words = text.split("-")
    name, colon, count = head.partition(":")
    known = kinds(KernelSpec)
    _check(text, name, tuple(known))
    kind: Any = known[name]
    fields: dict[str, Any] = {"name": name}
    if colon:
        if kind is not RandomFeatures or not count.isdecimal():
            raise _unknown(text, f":{count}")
        fields["members"] = int(count)
    if kind is LinearKernel and words:
        raise _unknown(text, words[0])
    read = _read_wide if kind in (WideKernel, LinearKernel) else _read_network
    return kind(**fields | read(text, words))


def _read_wide(text: str, words: Sequence[str]) -> dict[str, Any]:
    if not words:
        return {}
    hints = get_type_hints(WideKernel)
    known = kinds(hints["architecture"])
    name = next((word for word in words if word in known), "fc")
    layers: dict[str, Any] = {"name": name}
    takes = get_type_hints(known[name])
    listed = {field: get_args(hints[field]) for field in ("activation", "backend")}
    poolings = get_args(takes.get("pooling"))
    fields: dict[str, Any] = {}
    for word in words:
        if found := [field for field in listed if word in listed[field]]:
            fields[found[0]] = word
        elif word in poolings:
            layers["pooling"] = word
        elif word.isdecimal() and "depth" in takes:
            layers["depth"] = int(word)
        elif word[:1] in ("w", "b") and _is_number(word[1:]):
            field = {"w": "weight_std", "b": "bias_std"}[word[0]]
            fields[field] = float(word[1:])
        elif word != name:
            words = [*known, *poolings, *itertools.chain(*listed.values())]
            raise _unknown(text, word, words)
    return fields | {"architecture": known[name](**layers)}


def _read_network(text: str, words: Sequence[str]) -> dict[str, Any]:
    if not words:
        return {}
    name, *rest = words
    known = kinds(NetworkSpec)
    _check(text, name, tuple(known))
    kind: Any = known[name]
    takes = {field.name for field in dataclasses.fields(kind)}
    norms = get_args(get_type_hints(kind)["norm"]) if "norm" in takes else ("none",)
    widths = tuple(int(word) for word in rest if word.isdecimal())
    fields: dict[str, Any] = {"width": widths} if widths else {}
    for word in rest:
        if word in norms:
            fields["norm"] = word
        elif not (word.isdecimal() and "width" in takes):
            raise _unknown(text, word, norms)
    fields = {field: value for field, value in fields.items() if field in takes}
    return {"network": kind(name=name, **fields)}


def _check(text: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise _unknown(text, word, known)


def _unknown(text: str, word: str, known: Sequence[str] = ()) -> InputError:
    hint = nearest(word, known) if known else ""
    return InputError(f"kernel {text!r}: {word!r} is not known here.{hint} {_HOW}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
