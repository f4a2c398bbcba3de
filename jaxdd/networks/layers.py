"""The two weighted layers and the activations every network here is made of."""

from functools import partial
from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from jaxdd.base import Array, Output
from jaxdd.networks import conv as convolutions
from jaxdd.networks import depthwise as depthwise_convolutions
from jaxdd.networks.initialisers import (
    Initialiser,
    Kind,
    initialiser,
    weight_dtype,
)

__all__ = ["Activation", "activate", "convolution", "dense", "finish"]

Activation = Literal["relu", "sigmoid", "leaky_relu", "swish", "softplus"]


def activate(image: Array, kind: Activation, sharpness: float = 1.0) -> Array:
    """The named activation, element by element; leaky_relu has slope 0.01.

    softplus is log(1 + exp(b x)) / b with b = `sharpness`.
    """
    if kind == "softplus":
        return nn.softplus(image * sharpness) / sharpness
    return getattr(nn, kind)(image)


def convolution(
    image: Array,
    channels: int,
    name: str,
    *,
    initial: Initialiser,
    size: int = 3,
    stride: int = 1,
    padding: int = 1,
    bias: bool = True,
    depthwise: bool = False,
    conv: convolutions.Kind = "stock",
    dtype: Any = None,
) -> Array:
    """Convolves [n,h,w,c] by a submodule `name` of the calling module.

    `depthwise`: every channel has a kernel of its own, so `channels` is c.
    """
    if conv == "stock":
        hook = None
    elif depthwise:
        hook = partial(depthwise_convolutions.grouped, any_mode=conv == "rows")
    else:
        hook = partial(convolutions.general_dilated, any_mode=conv == "rows")
    return nn.Conv(
        channels,
        (size, size),
        (stride, stride),
        ((padding, padding), (padding, padding)),
        use_bias=bias,
        feature_group_count=channels if depthwise else 1,
        dtype=dtype,
        param_dtype=weight_dtype(),
        kernel_init=initial.kernel,
        bias_init=initial.bias,
        conv_general_dilated=hook,
        name=name,
    )(image)


def dense(
    features: Array,
    outputs: int,
    name: str,
    *,
    kind: Kind,
    bias: bool = True,
    dtype: Any = None,
) -> Array:
    """Multiplies [...,d] by a submodule `name` of the calling module."""
    initial = initialiser(kind, features.shape[-1])
    return nn.Dense(
        outputs,
        use_bias=bias,
        dtype=dtype,
        param_dtype=weight_dtype(),
        kernel_init=initial.kernel,
        bias_init=initial.bias,
        name=name,
    )(features)


def finish(body: Array, outputs: int, kind: Kind, taps: tuple[Array, ...]) -> Output:
    """Flattens the body's output and applies the last layer, in at least float32.

    Without outputs there is no last layer and the features stand for the logits.
    """
    features = body.reshape(body.shape[0], -1)
    features = features.astype(jnp.promote_types(features.dtype, jnp.float32))
    logits = dense(features, outputs, "head", kind=kind) if outputs else features
    return Output(logits, features, taps)
