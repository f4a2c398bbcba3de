"""ResNet-10 and ResNet-18 for small images.

torchvision's residual network (He et al., 2016) with the stem that solo-learn and the
KRR-ST authors put on it: a 3x3 convolution of stride 1 and padding 2, no max-pooling.
"""

from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from jaxdd.base import Array, Output
from jaxdd.networks import initialisers
from jaxdd.networks import norm as norm_layers
from jaxdd.networks.layers import convolution, finish

__all__ = ["BLOCKS", "ResNet"]

BLOCKS = {"resnet10": (1, 1, 1, 1), "resnet18": (2, 2, 2, 2)}


class ResNet(nn.Module):
    """Stem, four stages of basic blocks, global average, then one Dense layer.

    A 32x32 image gives maps of 34, 17, 9 and 5 pixels. The scale of the last
    normalisation in every block starts at zero, so blocks start as the identity (Goyal
    et al., 2017). `channels` is the width of the first stage; each later one doubles.
    Taps are the maps after each stage.
    """

    blocks: tuple[int, ...] = (2, 2, 2, 2)
    channels: int = 64
    outputs: int = 10
    norm: norm_layers.Kind = "batch"
    initialiser: initialisers.Kind = "torch"
    momentum: float = 0.9
    conv: Literal["stock", "cpu"] = "stock"
    dtype: Any = None

    @nn.compact
    def __call__(self, image: Array, train: bool = False) -> Output:
        # Both sources replace the stem after drawing weights, so it keeps the default.
        initial = initialisers.initialiser(self.initialiser, 9 * image.shape[-1])
        image = self._convolve(image, self.channels, "stem", padding=2, initial=initial)
        image = nn.relu(self._normalise(image, "stem_norm", train))
        taps = []
        for stage, count in enumerate(self.blocks):
            for index in range(count):
                stride = 2 if stage and not index else 1
                name = f"stage_{stage}_{index}"
                image = self._block(image, self.channels << stage, stride, name, train)
            taps.append(image)
        mean = image.mean((1, 2), dtype=jnp.promote_types(image.dtype, jnp.float32))
        return finish(mean, self.outputs, self.initialiser, tuple(taps))

    def _block(
        self, image: Array, channels: int, stride: int, name: str, train: bool
    ) -> Array:
        """Two 3x3 convolutions beside the identity, or beside a 1x1 convolution."""
        out = self._convolve(image, channels, f"{name}_conv_0", stride=stride)
        out = nn.relu(self._normalise(out, f"{name}_norm_0", train))
        out = self._convolve(out, channels, f"{name}_conv_1")
        zeros = nn.initializers.zeros
        out = self._normalise(out, f"{name}_norm_1", train, scale_init=zeros)
        if stride != 1 or image.shape[-1] != channels:
            shortcut = f"{name}_shortcut"
            image = self._convolve(
                image, channels, shortcut, size=1, padding=0, stride=stride
            )
            image = self._normalise(image, f"{shortcut}_norm", train)
        return nn.relu(out + image)

    def _convolve(
        self, image: Array, channels: int, name: str, **options: Any
    ) -> Array:
        """A convolution without bias, in this network's precision."""
        kernel = initialisers.stage_initialiser(self.initialiser)
        default = initialisers.Initialiser(kernel, nn.initializers.zeros)
        return convolution(
            image,
            channels,
            name,
            bias=False,
            conv=self.conv,
            dtype=self.dtype,
            **{"initial": default, **options},
        )

    def _normalise(self, image: Array, name: str, train: bool, **options: Any) -> Array:
        """This network's normalisation."""
        return norm_layers.normalise(
            image, self.norm, name, train=train, momentum=self.momentum, **options
        )
