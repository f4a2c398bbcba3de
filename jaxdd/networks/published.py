"""The networks of the field's cross-architecture tables, by name.

Definitions: Zhao et al. (2021) and Zhao and Bilen (2021, 2023), DC-BENCH (Cui et al.,
2022), GLaD (Cazenavette et al., 2023). Without a suffix the norm is the one by which
the tables know a network; weights are drawn by PyTorch's defaults throughout.
"""

import dataclasses
from typing import Any

from jaxdd.errors import one_of
from jaxdd.networks.convnet import first_padding
from jaxdd.networks.families import FAMILIES
from jaxdd.records import (
    Activation,
    AlexNet,
    ConvNet,
    LeNet,
    Mlp,
    MobileNet,
    NetworkSpec,
    ResNet,
    Vgg11,
    ViT,
)

__all__ = ["NAMED", "named", "network_name"]

_SMALLEST_MAP = 2  # halvings fewer than would leave one pixel: maps end at 4x4


def _convnet(width: int = 128, **options: Any) -> ConvNet:
    return ConvNet(width=(width,), **options)


def _resnet(name: Any, **options: Any) -> ResNet:
    return ResNet(name, stem="pad1", zero_last=False, initialiser="uniform", **options)


NAMED: dict[str, NetworkSpec] = {
    "convnet": _convnet(),
    **{f"convnet_d{depth}": _convnet(depth=depth) for depth in range(1, 6)},
    **{f"convnet_w{width}": _convnet(width) for width in (32, 64, 128, 256)},
    "convnet_sigmoid": _convnet(activation=Activation("sigmoid")),
    "convnet_leaky_relu": _convnet(activation=Activation("leaky_relu")),
    "convnet_swish": _convnet(activation=Activation("swish")),
    "convnet_swish_bn": _convnet(activation=Activation("swish"), norm="batch"),
    "convnet_nopool": _convnet(pooling="none"),
    "convnet_maxpool": _convnet(pooling="max"),
    "convnet_nonorm": _convnet(norm="none"),
    "convnet_bn": _convnet(norm="batch"),
    "convnet_ln": _convnet(norm="layer"),
    "convnet_gn": _convnet(norm="group"),
    "mlp": Mlp((128, 128)),
    "lenet": LeNet(),
    "alexnet": AlexNet(norm="none"),
    "alexnet_bn": AlexNet(norm="batch"),
    "vgg11": Vgg11(),
    "vgg11_bn": Vgg11(norm="batch"),
    "resnet18": _resnet("resnet18"),
    "resnet18_bn": _resnet("resnet18", norm="batch"),
    "resnet18_ap": _resnet("resnet18_ap"),
    "resnet18_ap_bn": _resnet("resnet18_ap", norm="batch"),
    "vit": ViT((512,), 6, dropout=0.1),
    "vit_glad": ViT((512,), 10, norm="none", patch=16, dropout=0.1),
    "mobilenet": MobileNet(norm="batch"),
    "mobilenet_in": MobileNet(norm="instance"),
}
"""By name. A ConvNet without a depth gets it from the image: use `named`."""


def named(name: str, image_shape: tuple[int, int, int]) -> NetworkSpec:
    """The network of that name for images of that shape.

    A ConvNet whose name does not say its depth ends in 4x4 maps: 3 blocks for 32x32
    pixels (and 28x28 grey ones), 4 for 64x64, 5 for 128x128; never fewer than 2.

    Args:
      name: one of `NAMED`.
      image_shape: (h, w, c).

    Returns:
      Settings for `build`.

    Raises:
      InputError: an unknown name, or images that the network cannot take.
    """
    one_of("networks", name, NAMED)
    spec = NAMED[name]
    if isinstance(spec, ConvNet) and spec.depth is None:
        spec = dataclasses.replace(spec, depth=_depth(image_shape))
    common = {"outputs": 1, "initialiser": spec.initialiser, "dtype": None}
    FAMILIES[spec.name](spec, image_shape, common)
    return spec


def _depth(image_shape: tuple[int, int, int]) -> int:
    side = min(image_shape[:2]) + 2 * (first_padding(image_shape) - 1)
    return max(side.bit_length() - 1 - _SMALLEST_MAP, 2)


def network_name(spec: NetworkSpec) -> str:
    """A short name for tables, such as convnet-16-32-batch."""
    if not isinstance(spec, ConvNet | Mlp):  # whose widths are their own
        return f"{spec.name}-{spec.norm}"
    widths = spec.width * spec.depth if spec.depth else spec.width
    return "-".join([spec.name, *map(str, widths), spec.norm])
