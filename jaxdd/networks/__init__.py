"""Networks by name and options, behind `jaxdd.base.Network`.

Only this package imports flax. Other users of a network see two pure functions.
"""

import dataclasses
import difflib
import typing
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from jaxdd.base import InputError, Network
from jaxdd.networks import conv, norm
from jaxdd.networks.convnet import ConvNet, first_padding
from jaxdd.networks.functional import count_parameters, from_linen, from_nnx
from jaxdd.networks.mlp import MLP
from jaxdd.networks.resnet import DESIGNS, ResNet, stem_side
from jaxdd.records import NetworkSpec

__all__ = ["NAMES", "build", "count_parameters", "from_linen", "from_nnx"]

NAMES = ("convnet", "mlp", *DESIGNS)
_DTYPES = ("float32", "bfloat16")
_CHOICES = ("norm", "pooling", "initialiser", "conv", "stem")


def build(
    spec: NetworkSpec,
    image_shape: tuple[int, int, int],
    outputs: int,
    *,
    dtype: str = "float32",
) -> Network:
    """The network that `spec` describes.

    Args:
      spec: architecture and options.
      image_shape: (h, w, c).
      outputs: width of the last layer; 0 leaves it out, and the features stand for the
        logits.
      dtype: precision of the body. bfloat16 keeps weights, statistics of normalisation,
        features and logits in float32; float32 follows float64 inputs.

    Returns:
      The network; equal arguments return the same object, so that compiled code that
      closes over it is found again.

    Raises:
      InputError: an unknown name, or options that do not fit together.
    """
    height, width, channels = image_shape
    image_shape = height, width, channels
    _check(spec, image_shape, dtype)
    return _build(spec, image_shape, outputs, dtype, conv.choose(spec.conv))


@lru_cache(maxsize=128)
def _build(
    spec: NetworkSpec,
    image_shape: tuple[int, int, int],
    outputs: int,
    dtype: str,
    kernel: Literal["stock", "cpu"],
) -> Network:
    """`build` once its arguments are checked and the convolution is chosen."""
    body = None if dtype == "float32" else jnp.dtype(dtype)
    spec = dataclasses.replace(spec, conv=kernel)
    module, name = _module(spec, image_shape, outputs, body)
    return from_linen(module, image_shape, name=name)


def _module(
    spec: NetworkSpec, image_shape: tuple[int, int, int], outputs: int, dtype: Any
) -> tuple[nn.Module, str]:
    """The Linen module and its name in reports."""
    common = {"outputs": outputs, "initialiser": spec.initialiser, "dtype": dtype}
    if spec.name == "mlp":
        width = _width(spec)
        return MLP(width, **common), "-".join(["mlp", *map(str, width)])
    common |= {
        "norm": spec.norm,
        "momentum": spec.batch_momentum,
        "conv": spec.conv,
    }
    if spec.name in DESIGNS:
        return _resnet(spec, image_shape, common)
    width = _width(spec)
    _check_convnet(spec, width, image_shape)
    name = "-".join(["convnet", *map(str, width), spec.norm])
    return ConvNet(width, pooling=spec.pooling, **common), name


def _resnet(
    spec: NetworkSpec, image_shape: tuple[int, int, int], common: dict[str, Any]
) -> tuple[nn.Module, str]:
    """A residual network; three averagings must leave it a pixel."""
    design = DESIGNS[spec.name]
    side = stem_side(spec.stem, min(image_shape[:2]))
    if design.averaged and side < 8:
        raise InputError(
            f"network.name: {spec.name} averages three times and the stem "
            f"{spec.stem!r} leaves {side} pixels a side of images of {image_shape[0]}x"
            f"{image_shape[1]}; at least 8 are needed, {spec.name[:-3]} takes any size"
        )
    options = {"stem": spec.stem, "zero_last": spec.zero_last}
    name = f"{spec.name}-{spec.norm}"
    name += "" if spec.stem == "pad2" else f"-{spec.stem}"
    return ResNet(**design._asdict(), **options, **common), name


def _width(spec: NetworkSpec) -> tuple[int, ...]:
    """The width of every block; an MLP without any is a linear map."""
    if spec.name == "mlp" and not spec.width:
        return ()
    if not spec.width or min(spec.width) < 1:
        raise InputError(
            f"network.width: {spec.width}; give one positive width for each block"
        )
    if spec.depth is None or spec.depth == len(spec.width):
        return tuple(spec.width)
    if spec.depth < 1 or len(spec.width) > 1:
        raise InputError(
            f"network.depth: {spec.depth} does not fit network.width {spec.width}; "
            "depth repeats a single width, so give one width, or no depth"
        )
    return tuple(spec.width) * spec.depth


def _check(spec: NetworkSpec, image_shape: tuple[int, ...], dtype: str) -> None:
    """Names of the architecture and of its options."""
    _check_name("network.name", spec.name, NAMES)
    _check_name("dtype", dtype, _DTYPES)
    hints = typing.get_type_hints(NetworkSpec)
    for field in _CHOICES:
        choices = typing.get_args(hints[field])
        _check_name(f"network.{field}", getattr(spec, field), choices)
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise InputError(f"image_shape: {image_shape}; it is (height, width, channels)")


def _check_convnet(
    spec: NetworkSpec, width: tuple[int, ...], image_shape: tuple[int, int, int]
) -> None:
    """Maps must keep a pixel, and groups must divide the channels."""
    side = min(image_shape[:2]) + 2 * (first_padding(image_shape) - 1)
    deepest = side.bit_length() - 1
    if spec.pooling != "none" and len(width) > deepest:
        raise InputError(
            f"network.depth: {len(width)} poolings leave less than one pixel of images "
            f"of {image_shape[0]}x{image_shape[1]}; at most {deepest} blocks fit, or "
            "set network.pooling to 'none'"
        )
    odd = [channels for channels in width if channels % norm.GROUPS]
    if spec.norm == "group" and odd:
        raise InputError(
            f"network.width: {odd[0]} channels do not split into the {norm.GROUPS} "
            "groups of network.norm 'group'; give a multiple"
        )


def _check_name(argument: str, value: str, choices: Sequence[str]) -> None:
    """Raises with the allowed values and the nearest one."""
    if value in choices:
        return
    near = difflib.get_close_matches(str(value), choices, 1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise InputError(f"{argument}: {value!r} is not one of {', '.join(choices)}{hint}")
