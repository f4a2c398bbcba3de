"""Kernels as the command line and the report spell them, such as ntk-fc-2."""

import dataclasses
from collections.abc import Sequence
from typing import Any, get_args, get_type_hints

from jaxdd.errors import InputError, nearest
from jaxdd.networks import network_name
from jaxdd.records import KernelSpec, NetworkSpec, kinds

__all__ = ["parse_kernel", "spelled_kernel"]

_PLAIN = KernelSpec()
_WIDE = ("ntk", "nngp")  # of infinitely wide networks
_DEEP = ("fc", "conv")  # architectures whose depth can be chosen
_HOW = (
    "give one as ntk-fc-2, nngp-conv-3-global, ntk-convnet3-erf, ntk-fc-1-w1-b0,"
    " linear, conjugate-convnet-32-32-none or random_features:8-convnet-256-256-none"
)


def spelled_kernel(spec: KernelSpec) -> str:
    """A kernel in words joined by "-"; `parse_kernel` reads it.

    Of the networks of finite kernels it has name, widths and norm.
    """
    if spec.name == "linear":
        return spec.name
    if spec.name in _WIDE:
        return "-".join([spec.name, *_wide_words(spec)])
    several = f":{spec.members}" if spec.name == "random_features" else ""
    return f"{spec.name}{several}-{network_name(spec.network)}"


def _wide_words(spec: KernelSpec) -> list[str]:
    """The architecture and what is not as usual."""
    words = [spec.architecture]
    if spec.architecture in _DEEP:
        words.append(str(spec.depth))
    if spec.architecture == "conv" and spec.pooling != _PLAIN.pooling:
        words.append(spec.pooling)
    if spec.activation != _PLAIN.activation:
        words.append(spec.activation)
    if spec.weight_std != _PLAIN.weight_std:
        words.append(f"w{spec.weight_std:g}")
    if spec.bias_std != _PLAIN.bias_std:
        words.append(f"b{spec.bias_std:g}")
    return words + [spec.backend] * (spec.backend != _PLAIN.backend)


def parse_kernel(text: str) -> KernelSpec:
    """The kernel that is spelled so.

    Raises:
      InputError: a word is not known; the message suggests the nearest.
    """
    head, *words = text.split("-")
    name, colon, count = head.partition(":")
    _check(text, name, _choices("name"))
    fields: dict[str, Any] = {"name": name}
    if colon:
        if name != "random_features" or not count.isdecimal():
            raise _unknown(text, f":{count}")
        fields["members"] = int(count)
    read = _read_wide if name in (*_WIDE, "linear") else _read_network
    return KernelSpec(**(fields | read(text, words)))


def _read_wide(text: str, words: Sequence[str]) -> dict[str, Any]:
    if text.startswith("linear") and words:
        raise _unknown(text, words[0])
    fields: dict[str, Any] = {}
    for word in words:
        known = ("architecture", "pooling", "activation", "backend")
        found = next((field for field in known if word in _choices(field)), "")
        if found:
            fields[found] = word
        elif word.isdecimal():
            fields["depth"] = int(word)
        elif word[:1] in ("w", "b") and _is_number(word[1:]):
            field = {"w": "weight_std", "b": "bias_std"}[word[0]]
            fields[field] = float(word[1:])
        else:
            raise _unknown(text, word, [w for field in known for w in _choices(field)])
    return fields


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


def _choices(field: str) -> tuple[str, ...]:
    return get_args(get_type_hints(KernelSpec)[field])


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
