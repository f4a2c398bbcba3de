"""The field's ConvNet: blocks of convolution, norm, activation and 2x2 pooling."""

from typing import Any, Literal

import flax.linen as nn

from jaxdd.base import Array, Output
from jaxdd.networks import initialisers
from jaxdd.networks import norm as norm_layers
from jaxdd.networks import pooling as pooling_layers
from jaxdd.networks.conv import Kind as ConvKind
from jaxdd.networks.layers import Activation, activate, convolution, finish

__all__ = ["ConvNet", "first_padding"]


def first_padding(
    image_shape: tuple[int, int, int], size: int = 3, pad_grey: bool = True
) -> int:
    """Padding of a first convolution of `size`: 28x28 grey images become a 32x32 map.

    So do the networks of Zhao and Bilen (2021), whence every map halves evenly; not
    those of RFAD, without `pad_grey`.
    """
    return size // 2 + (2 if pad_grey and image_shape == (28, 28, 1) else 0)


class ConvNet(nn.Module):
    """3x3 convolution with bias, norm, activation, pooling; then one Dense layer.

    Gidaris and Komodakis (2018) as used since "Dataset Condensation" (Zhao et al.,
    2021); with batch normalisation and widths 128-256-512 it is the network of KRR-ST.
    Taps are the maps after each activation, before pooling, in the body's precision.
    FRePo's network normalises before each convolution but the first
    (`norm_place="before"`).
    """

    width: tuple[int, ...] = (128, 128, 128)
    outputs: int = 10
    norm: norm_layers.Kind = "instance"
    pooling: pooling_layers.Kind = "avg"
    activation: Activation = "relu"
    initialiser: initialisers.Kind = "torch"
    momentum: float = 0.9
    conv: ConvKind = "stock"
    dtype: Any = None
    norm_place: Literal["after", "before"] = "after"
    biased: bool = False
    sharpness: float = 1.0
    pad_grey: bool = True

    @nn.compact
    def __call__(self, image: Array, train: bool = False) -> Output:
        taps, before = [], self.norm_place == "before"
        _, height, width, channels = image.shape
        shape = (height, width, channels)
        padding = first_padding(shape, pad_grey=self.pad_grey)
        for index, features in enumerate(self.width):
            if before and index:
                image = self._normalise(image, index, train)
            image = convolution(
                image,
                features,
                f"conv_{index}",
                initial=initialisers.initialiser(self.initialiser, 9 * image.shape[-1]),
                padding=1 if index else padding,
                conv=self.conv,
                dtype=self.dtype,
            )
            if not before:
                image = self._normalise(image, index, train)
            image = activate(image, self.activation, self.sharpness)
            taps.append(image)
            image = pooling_layers.pool(image, self.pooling, self.conv)
        return finish(image, self.outputs, self.initialiser, tuple(taps))

    def _normalise(self, image: Array, index: int, train: bool) -> Array:
        return norm_layers.normalise(
            image,
            self.norm,
            f"norm_{index}",
            train=train,
            momentum=self.momentum,
            biased=self.biased,
        )
