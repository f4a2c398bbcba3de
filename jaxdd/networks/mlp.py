"""The multi-layer perceptron of the cross-architecture tables."""

from typing import Any

import flax.linen as nn

from jaxdd.base import Array, Output
from jaxdd.networks import initialisers
from jaxdd.networks.layers import dense, finish

__all__ = ["MLP"]


class MLP(nn.Module):
    """Flatten, then Dense and ReLU for every width, then one Dense layer.

    With widths 128-128 it is the MLP of Zhao et al. (2021). Taps are the hidden
    activations.
    """

    width: tuple[int, ...] = (128, 128)
    outputs: int = 10
    initialiser: initialisers.Kind = "torch"
    dtype: Any = None

    @nn.compact
    def __call__(self, image: Array, train: bool = False) -> Output:
        hidden = image.reshape(image.shape[0], -1)
        taps = []
        for index, units in enumerate(self.width):
            name = f"dense_{index}"
            hidden = dense(hidden, units, name, kind=self.initialiser, dtype=self.dtype)
            hidden = nn.relu(hidden)
            taps.append(hidden)
        return finish(hidden, self.outputs, self.initialiser, tuple(taps))
