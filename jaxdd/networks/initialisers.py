"""How fresh weights are drawn: PyTorch's defaults, Flax's, or Glorot's.

For methods that embed images with untrained networks the initial distribution is part
of the method, so it is chosen by name (`NetworkSpec.initialiser`).
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import initializers

__all__ = ["Initialiser", "Kind", "initialiser", "stage_initialiser", "weight_dtype"]

_HE = initializers.variance_scaling(2.0, "fan_in", "normal")
_BIAS = 0.1  # deviation, as b_std of the kernels of infinitely wide networks

Kind = Literal["torch", "uniform", "flax", "xavier", "he"]
Draw = Callable[..., jax.Array]


class Initialiser(NamedTuple):
    """How the kernel and the bias of one layer are drawn."""

    kernel: Draw
    bias: Draw


def initialiser(kind: Kind, fan_in: int) -> Initialiser:
    """The initialiser of a convolution or Dense layer with `fan_in` inputs a unit.

    torch, uniform: kernel and bias uniform with bound 1/sqrt(fan_in) (the Kaiming
    uniform rule with negative slope sqrt(5)). flax: LeCun normal kernels, zero biases.
    xavier: Glorot normal kernels, zero biases. he: normal kernels of variance 2/fan_in
    (He et al., 2015), normal biases of deviation 0.1, as RFAD's networks.
    """
    if kind == "xavier":
        return Initialiser(initializers.glorot_normal(), initializers.zeros)
    if kind == "he":
        return Initialiser(_HE, initializers.normal(_BIAS))
    if kind == "flax":
        return Initialiser(initializers.lecun_normal(), initializers.zeros)
    draw = _uniform(fan_in**-0.5)
    return Initialiser(draw, draw)


def stage_initialiser(kind: Kind, fan_in: int) -> Draw:
    """The kernels inside residual stages: torch means torchvision's ResNet here.

    torchvision draws them normal with variance 2/fan_out (He et al., 2015); uniform,
    as PyTorch draws any convolution, is what dataset condensation's ResNets do.
    """
    if kind == "torch":
        return initializers.variance_scaling(2.0, "fan_out", "normal")
    return initialiser(kind, fan_in).kernel


def weight_dtype() -> Any:
    """The precision weights are stored in: float32, or float64 where JAX allows it."""
    return jnp.result_type(float)


def _uniform(bound: float) -> Draw:
    """Uniform in [-bound, bound]."""

    def draw(key: jax.Array, shape: Any, dtype: Any = jnp.float32, **_: Any):
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return draw
