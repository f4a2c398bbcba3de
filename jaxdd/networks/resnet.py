"""Residual networks of 10, 18, 34 and 50 layers, with the stems of small images.

torchvision's networks (He et al., 2016; the bottleneck with its stride on the 3x3
convolution), and the variant that pools by averages where those stride (Zhao and Bilen,
2021, "ResNet18_AP").
"""

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from jaxdd.base import Array, Output
from jaxdd.networks import initialisers
from jaxdd.networks import norm as norm_layers
from jaxdd.networks.conv import Kind as ConvKind
from jaxdd.networks.layers import convolution, finish
from jaxdd.networks.pooling import pool

__all__ = ["DESIGNS", "Design", "ResNet", "Stem", "stem_side"]

Stem = Literal["pad2", "pad1", "imagenet"]


class Design(NamedTuple):
    """What the name of a residual network stands for."""

    blocks: tuple[int, ...]
    bottleneck: bool = False
    averaged: bool = False


DESIGNS = {
    "resnet10": Design((1, 1, 1, 1)),
    "resnet18": Design((2, 2, 2, 2)),
    "resnet34": Design((3, 4, 6, 3)),
    "resnet50": Design((3, 4, 6, 3), bottleneck=True),
    "resnet10_ap": Design((1, 1, 1, 1), averaged=True),
    "resnet18_ap": Design((2, 2, 2, 2), averaged=True),
}
_EXPANSION = 4  # of the channels, by the last convolution of a bottleneck


def stem_side(stem: Stem, side: int) -> int:
    """Pixels a side that the stem leaves of an image."""
    if stem == "imagenet":
        return ((side + 1) // 2 + 1) // 2
    return side + 2 if stem == "pad2" else side


class ResNet(nn.Module):
    """Stem, four stages of residual blocks, global average, then one Dense layer.

    stem: "pad2" a 3x3 convolution of padding 2, so that 32x32 pixels give maps of 34,
    17, 9 and 5 (solo-learn); "pad1" the same of padding 1; "imagenet" a 7x7 convolution
    and a 3x3 max-pooling, both of stride 2. `zero_last`: the scale of the last
    normalisation in every block starts at zero, so blocks start as the identity (Goyal
    et al., 2017). `averaged`: stride-1 convolutions and 2x2 averages in place of
    strides, and no global average. `channels` is the width of the first stage; each
    later one doubles. Taps are the maps after each stage.
    """

    blocks: tuple[int, ...] = (2, 2, 2, 2)
    bottleneck: bool = False
    averaged: bool = False
    stem: Stem = "pad2"
    zero_last: bool = True
    channels: int = 64
    outputs: int = 10
    norm: norm_layers.Kind = "batch"
    initialiser: initialisers.Kind = "torch"
    momentum: float = 0.9
    biased: bool = False
    conv: ConvKind = "stock"
    dtype: Any = None

    @nn.compact
    def __call__(self, image: Array, train: bool = False) -> Output:
        image = self._stem(image, train)
        taps = []
        for stage, count in enumerate(self.blocks):
            for index in range(count):
                stride = 2 if stage and not index else 1
                name = f"stage_{stage}_{index}"
                image = self._block(image, self.channels << stage, stride, name, train)
            taps.append(image)
        if not self.averaged:
            wide = jnp.promote_types(image.dtype, jnp.float32)
            image = image.mean((1, 2), dtype=wide)
        return finish(image, self.outputs, self.initialiser, tuple(taps))

    def _stem(self, image: Array, train: bool) -> Array:
        """The first convolution with its normalisation, ReLU and pooling."""
        if self.stem == "imagenet":
            options: dict[str, Any] = {"size": 7, "stride": 2, "padding": 3}
        else:
            # The sources put these in after drawing weights: they keep the default.
            initial = initialisers.initialiser(self.initialiser, 9 * image.shape[-1])
            padding = 2 if self.stem == "pad2" else 1
            options = {"padding": padding, "initial": initial}
        image = self._convolve(image, self.channels, "stem", **options)
        image = nn.relu(self._normalise(image, "stem_norm", train))
        if self.stem == "imagenet":
            sides: Any = ((1, 1), (1, 1))
            image = nn.max_pool(image, (3, 3), (2, 2), sides)
        return image

    def _block(
        self, image: Array, channels: int, stride: int, name: str, train: bool
    ) -> Array:
        """Convolutions beside the identity, or beside a 1x1 convolution."""
        sizes = (1, 3, 1) if self.bottleneck else (3, 3)
        strided = 1 if self.bottleneck else 0
        wide = channels * (_EXPANSION if self.bottleneck else 1)
        out, last = image, len(sizes) - 1
        for index, size in enumerate(sizes):
            layer = f"{name}_conv_{index}", f"{name}_norm_{index}"
            options: dict[str, Any] = {}
            if index == last and self.zero_last:
                options["scale_init"] = nn.initializers.zeros
            step = stride if index == strided else 1
            width = wide if index == last else channels
            out = self._layer(out, width, size, step, layer, train, **options)
            if index < last:
                out = nn.relu(out)
            if step > 1 and self.averaged:
                out = pool(out, "avg", self.conv)
        if stride != 1 or image.shape[-1] != wide:
            image = self._shortcut(image, wide, stride, f"{name}_shortcut", train)
        return nn.relu(out + image)

    def _layer(
        self,
        image: Array,
        channels: int,
        size: int,
        stride: int,
        names: tuple[str, str],
        train: bool,
        **options: Any,
    ) -> Array:
        """A convolution and its normalisation."""
        stride = 1 if self.averaged else stride
        padding = size // 2
        image = self._convolve(
            image, channels, names[0], size=size, stride=stride, padding=padding
        )
        return self._normalise(image, names[1], train, **options)

    def _shortcut(
        self, image: Array, channels: int, stride: int, name: str, train: bool
    ) -> Array:
        """The 1x1 convolution beside a block; its averages come before the norm."""
        step = 1 if self.averaged else stride
        image = self._convolve(image, channels, name, size=1, padding=0, stride=step)
        if stride > 1 and self.averaged:
            image = pool(image, "avg", self.conv)
        return self._normalise(image, f"{name}_norm", train)

    def _convolve(
        self, image: Array, channels: int, name: str, *, size: int = 3, **options: Any
    ) -> Array:
        """A convolution without bias, in this network's precision."""
        fan_in = size * size * image.shape[-1]
        kernel = initialisers.stage_initialiser(self.initialiser, fan_in)
        default = initialisers.Initialiser(kernel, nn.initializers.zeros)
        return convolution(
            image,
            channels,
            name,
            size=size,
            bias=False,
            conv=self.conv,
            dtype=self.dtype,
            **{"initial": default, **options},
        )

    def _normalise(self, image: Array, name: str, train: bool, **options: Any) -> Array:
        """This network's normalisation."""
        return norm_layers.normalise(
            image,
            self.norm,
            name,
            train=train,
            momentum=self.momentum,
            biased=self.biased,
            **options,
        )
