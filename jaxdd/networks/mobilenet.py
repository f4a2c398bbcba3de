"""MobileNetV2 (Sandler et al., 2018) in its form for 32x32 images.

Facts of kuangliu/pytorch-cifar: strides of one in the stem and the second stage, ReLU
for ReLU6, and a 1x1 convolution beside every block that changes channels but not size.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from jaxdd.base import Array, Output
from jaxdd.networks import initialisers
from jaxdd.networks import norm as norm_layers
from jaxdd.networks.conv import Kind as ConvKind
from jaxdd.networks.layers import convolution, finish

__all__ = ["STAGES", "MobileNet", "Stage", "last_side"]


class Stage(NamedTuple):
    """Blocks of one width; the first has the stride."""

    expansion: int
    channels: int
    blocks: int
    stride: int


STAGES = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 1),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)


def last_side(side: int) -> int:
    """Pixels a side of the last map."""
    for stage in STAGES:
        side = (side - 1) // stage.stride + 1
    return side


class MobileNet(nn.Module):
    """Stem, stages of inverted residual blocks, 1x1 convolution, global average, Dense.

    A block widens by a 1x1 convolution, filters every channel by itself, and narrows
    by a 1x1 convolution without ReLU. `divide` makes everything that many times
    narrower, for tests. Taps are the maps after each stage and after the last ReLU.
    """

    stages: tuple[Stage, ...] = STAGES
    first: int = 32
    last: int = 1280
    divide: int = 1
    outputs: int = 10
    norm: norm_layers.Kind = "batch"
    initialiser: initialisers.Kind = "torch"
    momentum: float = 0.9
    biased: bool = False
    conv: ConvKind = "stock"
    dtype: Any = None

    @nn.compact
    def __call__(self, image: Array, train: bool = False) -> Output:
        taps = []
        image = nn.relu(self._layer(image, self.first // self.divide, "stem", train))
        for stage, plan in enumerate(self.stages):
            for index in range(plan.blocks):
                step = 1 if index else plan.stride
                name = f"stage_{stage}_{index}"
                image = self._block(image, plan, step, name, train)
            taps.append(image)
        image = self._layer(image, self.last // self.divide, "last", train, size=1)
        image = nn.relu(image)
        taps.append(image)
        wide = jnp.promote_types(image.dtype, jnp.float32)
        image = image.mean((1, 2), dtype=wide)
        return finish(image, self.outputs, self.initialiser, tuple(taps))

    def _block(
        self, image: Array, plan: Stage, stride: int, name: str, train: bool
    ) -> Array:
        """Widen, filter, narrow; beside it the image wherever the size stays."""
        channels, wide = plan.channels // self.divide, plan.expansion * image.shape[-1]
        out = nn.relu(self._layer(image, wide, f"{name}_widen", train, size=1))
        filtering = {"stride": stride, "depthwise": True}
        out = nn.relu(self._layer(out, wide, f"{name}_filter", train, **filtering))
        out = self._layer(out, channels, f"{name}_narrow", train, size=1)
        if stride > 1:
            return out
        if image.shape[-1] != channels:
            image = self._layer(image, channels, f"{name}_shortcut", train, size=1)
        return out + image

    def _layer(
        self,
        image: Array,
        channels: int,
        name: str,
        train: bool,
        *,
        size: int = 3,
        depthwise: bool = False,
        **options: Any,
    ) -> Array:
        """A convolution without bias and its normalisation."""
        fan_in = size * size * (1 if depthwise else image.shape[-1])
        image = convolution(
            image,
            channels,
            name,
            initial=initialisers.initialiser(self.initialiser, fan_in),
            size=size,
            padding=size // 2,
            bias=False,
            depthwise=depthwise,
            conv=self.conv,
            dtype=self.dtype,
            **options,
        )
        return norm_layers.normalise(
            image,
            self.norm,
            f"{name}_norm",
            train=train,
            momentum=self.momentum,
            biased=self.biased,
        )
