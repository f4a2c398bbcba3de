"""LeNet, AlexNet and VGG11 as the field's tables have them: one plan each.

From "Dataset Condensation" (Zhao et al., 2021), where all three are cut to 32x32
pixels: AlexNet has no large strides, one Dense layer and no dropout, VGG11 one Dense
layer. Other sizes change the input of the first Dense layer only.
"""

from typing import Any, NamedTuple

import flax.linen as nn

from jaxdd.base import Array, Output
from jaxdd.networks import initialisers
from jaxdd.networks import norm as norm_layers
from jaxdd.networks.conv import Kind as ConvKind
from jaxdd.networks.convnet import first_padding
from jaxdd.networks.layers import convolution, dense, finish
from jaxdd.networks.pooling import pool

__all__ = ["PLANS", "Plain", "Plan", "last_side"]


class Plan(NamedTuple):
    """Convolutions as (size, channels, whether 2x2 maximum pooling follows).

    `padded`: they keep the size of the map. `hidden`: Dense layers before the last.
    """

    convolutions: tuple[tuple[int, int, bool], ...]
    padded: bool = True
    hidden: tuple[int, ...] = ()


PLANS = {
    "lenet": Plan(((5, 6, True), (5, 16, True)), padded=False, hidden=(120, 84)),
    "alexnet": Plan(
        (
            (5, 128, True),
            (5, 192, True),
            (3, 256, False),
            (3, 192, False),
            (3, 192, True),
        )
    ),
    "vgg11": Plan(
        (
            (3, 64, True),
            (3, 128, True),
            (3, 256, False),
            (3, 256, True),
            (3, 512, False),
            (3, 512, True),
            (3, 512, False),
            (3, 512, True),
        )
    ),
}


class Plain(nn.Module):
    """Convolution with bias, norm, ReLU, pooling by `plan`; then Dense layers.

    `divide` makes every convolution that many times narrower, for tests. Taps are the
    maps after each ReLU, before pooling, then the hidden Dense activations.
    """

    plan: Plan
    outputs: int = 10
    norm: norm_layers.Kind = "none"
    divide: int = 1
    initialiser: initialisers.Kind = "torch"
    momentum: float = 0.9
    biased: bool = False
    conv: ConvKind = "stock"
    dtype: Any = None

    @nn.compact
    def __call__(self, image: Array, train: bool = False) -> Output:
        taps = []
        pads = _paddings(self.plan, image.shape[1:])
        for index, (size, channels, pooled) in enumerate(self.plan.convolutions):
            fan_in = size * size * image.shape[-1]
            image = convolution(
                image,
                channels // self.divide,
                f"conv_{index}",
                initial=initialisers.initialiser(self.initialiser, fan_in),
                size=size,
                padding=pads[index],
                conv=self.conv,
                dtype=self.dtype,
            )
            image = norm_layers.normalise(
                image,
                self.norm,
                f"norm_{index}",
                train=train,
                momentum=self.momentum,
                biased=self.biased,
            )
            image = nn.relu(image)
            taps.append(image)
            image = pool(image, "max" if pooled else "none", self.conv)
        hidden = image.reshape(image.shape[0], -1)
        for index, units in enumerate(self.plan.hidden):
            name = f"dense_{index}"
            hidden = dense(hidden, units, name, kind=self.initialiser, dtype=self.dtype)
            hidden = nn.relu(hidden)
            taps.append(hidden)
        return finish(hidden, self.outputs, self.initialiser, tuple(taps))


def last_side(plan: Plan, image_shape: tuple[int, int, int]) -> int:
    """Pixels of the shorter side of the last map; below one the image is too small."""
    side = min(image_shape[:2])
    pads = _paddings(plan, image_shape)
    for (size, _, pooled), padding in zip(plan.convolutions, pads, strict=True):
        side = (side + 2 * padding - size + 1) >> pooled
    return side


def _paddings(plan: Plan, image_shape: tuple[int, ...]) -> list[int]:
    """Of every convolution; LeNet's first pads grey images only, from 28 to 32."""
    height, width, channels = image_shape
    if not plan.padded:
        return [2 if channels == 1 else 0, *[0] * (len(plan.convolutions) - 1)]
    first, *rest = (size for size, _, _ in plan.convolutions)
    shape = height, width, channels
    return [first_padding(shape, first), *(size // 2 for size in rest)]
