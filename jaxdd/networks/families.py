"""One function an architecture: from its settings to a Linen module and its name.

Each refuses, by an InputError that names the setting, what its module cannot be: too
small images, widths that do not fit.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn

from jaxdd import records
from jaxdd.errors import InputError, check_numbers
from jaxdd.networks import mobilenet, norm, plain
from jaxdd.networks.convnet import ConvNet, first_padding
from jaxdd.networks.mlp import MLP
from jaxdd.networks.resnet import DESIGNS, ResNet, stem_side
from jaxdd.networks.vit import ViT

__all__ = ["FAMILIES", "Made", "Shape"]

Shape = tuple[int, int, int]
Made = tuple[nn.Module, str]
Common = dict[str, Any]
"""Arguments of every module: outputs, initialiser, dtype."""


def _mlp(spec: records.Mlp, image_shape: Shape, common: Common) -> Made:
    del image_shape
    width = _width(spec) if spec.width else ()  # without any, a linear map
    return MLP(width, **common), "-".join(["mlp", *map(str, width)])


def _convnet(spec: records.ConvNet, image_shape: Shape, common: Common) -> Made:
    """Maps must keep a pixel, and groups must divide the channels."""
    width = _width(spec)
    more = first_padding(image_shape, pad_grey=spec.pad_grey) - 1
    side = min(image_shape[:2]) + 2 * more
    deepest = side.bit_length() - 1
    if spec.pooling != "none" and len(width) > deepest:
        raise InputError(
            f"network.depth: {len(width)} poolings leave less than one pixel of images "
            f"of {_size(image_shape)}; at most {deepest} blocks fit, or set "
            "network.pooling to 'none'"
        )
    odd = [channels for channels in width if channels % norm.GROUPS]
    if spec.norm == "group" and odd:
        raise InputError(
            f"network.width: {odd[0]} channels do not split into the {norm.GROUPS} "
            "groups of network.norm 'group'; give a multiple"
        )
    options: Common = {"pooling": spec.pooling, "activation": spec.activation.name}
    options |= {"norm_place": spec.norm_place, "pad_grey": spec.pad_grey}
    if isinstance(spec.activation, records.Softplus):
        options["sharpness"] = spec.activation.sharpness
        check_numbers(
            spec.activation, positive=("sharpness",), name="network.activation"
        )
    name = ["convnet", *map(str, width), spec.norm]
    name += [] if spec.norm_place == "after" or spec.norm == "none" else ["before"]
    name += [] if spec.activation.name == "relu" else [spec.activation.name]
    name += [] if spec.pooling == "avg" else [f"{spec.pooling}pool"]
    return ConvNet(width, **options, **_maps(spec), **common), "-".join(name)


def _plain(
    spec: records.LeNet | records.AlexNet | records.Vgg11,
    image_shape: Shape,
    common: Common,
) -> Made:
    """A pixel must be left at the end; LeNet is never normalised."""
    plan = plain.PLANS[spec.name]
    if plain.last_side(plan, image_shape) < 1:
        height, width, channels = image_shape
        least = next(
            side
            for side in range(1, 99)
            if plain.last_side(plan, (side, side, channels)) > 0
        )
        grey = " (28x28 grey images count as 32x32)" if spec.name == "vgg11" else ""
        raise InputError(
            f"network.name: {spec.name} pools images of {height}x{width}x{channels} "
            f"away; with {channels} channels it takes {least} pixels a side or more"
            f"{grey}"
        )
    module = plain.Plain(plan, **_maps(spec), **common)
    return module, f"{spec.name}-{spec.norm}" if plan.padded else spec.name


def _mobilenet(spec: records.MobileNet, image_shape: Shape, common: Common) -> Made:
    _check_last(spec, image_shape, mobilenet.last_side(min(image_shape[:2])))
    module = mobilenet.MobileNet(**_maps(spec), **common)
    return module, f"mobilenet-{spec.norm}"


def _resnet(spec: records.ResNet, image_shape: Shape, common: Common) -> Made:
    """Three averagings must leave a pixel."""
    design = DESIGNS[spec.name]
    side = stem_side(spec.stem, min(image_shape[:2]))
    if design.averaged and side < 8:
        raise InputError(
            f"network.name: {spec.name} averages three times and the stem "
            f"{spec.stem!r} leaves {side} pixels a side of images of "
            f"{_size(image_shape)}; at least 8 are needed, {spec.name[:-3]} takes any "
            "size"
        )
    _check_last(spec, image_shape, side // 8 if design.averaged else (side + 7) // 8)
    options = {"stem": spec.stem, "zero_last": spec.zero_last}
    name = f"{spec.name}-{spec.norm}"
    name += "" if spec.stem == "pad2" else f"-{spec.stem}"
    return ResNet(**design._asdict(), **options, **_maps(spec), **common), name


def _vit(spec: records.ViT, image_shape: Shape, common: Common) -> Made:
    """Patches must tile the image, and heads a token of one length."""
    width, patch = _width(spec), spec.patch
    if patch < 1 or image_shape[0] % patch or image_shape[1] % patch:
        raise InputError(
            f"network.patch: {patch} does not divide images of {_size(image_shape)}; "
            "give a divisor of both sides"
        )
    if len(set(width)) > 1 or spec.heads < 1 or width[0] % spec.heads:
        raise InputError(
            f"network.width: {width} does not fit vit with network.heads {spec.heads}; "
            "all blocks have tokens of one length, a multiple of the heads"
        )
    hidden = spec.hidden or width[0]
    if hidden < 1 or not 0 <= spec.dropout < 1:
        raise InputError(
            f"network.hidden: {spec.hidden}, network.dropout: {spec.dropout}; hidden "
            "is positive, dropout at least 0 and below 1"
        )
    sizes = {"width": width[0], "depth": len(width), "heads": spec.heads}
    sizes |= {"hidden": hidden, "patch": patch}
    options = {"normed": spec.norm == "layer", "dropout": spec.dropout}
    name = f"vit-{width[0]}-{len(width)}-patch{patch}"
    return ViT(**sizes, **options, **common), name


FAMILIES: dict[str, Callable[[Any, Shape, Common], Made]] = {
    "convnet": _convnet,
    "mlp": _mlp,
    **dict.fromkeys(plain.PLANS, _plain),
    "mobilenet": _mobilenet,
    "vit": _vit,
    **dict.fromkeys(DESIGNS, _resnet),
}


def _maps(spec: Any) -> Common:
    """Arguments of the modules that work on maps."""
    arguments = {"norm": spec.norm, "conv": spec.conv}
    if isinstance(spec, records.LeNet):
        return arguments
    biased = spec.batch_norm.running_variance == "biased"
    return arguments | {"momentum": spec.batch_norm.momentum, "biased": biased}


def _width(spec: records.ConvNet | records.Mlp | records.ViT) -> tuple[int, ...]:
    """The width of every block."""
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


def _check_last(
    spec: records.MobileNet | records.ResNet, image_shape: Shape, side: int
) -> None:
    """The instance norm of a single pixel is its bias, whatever the image."""
    if spec.norm == "instance" and side < 2:
        raise InputError(
            f"network.norm: 'instance' normalises the last maps of {spec.name}, which "
            f"images of {_size(image_shape)} leave a single pixel, to a constant; "
            "take larger images or network.norm 'batch'"
        )


def _size(image_shape: Shape) -> str:
    return f"{image_shape[0]}x{image_shape[1]}"
