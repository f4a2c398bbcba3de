"""Networks by name and options, behind `jaxdd.base.Network`.

Only this package imports flax. Other users of a network see two pure functions.
"""

import dataclasses
from functools import lru_cache

import jax.numpy as jnp

from jaxdd.base import Network
from jaxdd.errors import InputError, check_choices, one_of
from jaxdd.networks import conv
from jaxdd.networks.centred import centred
from jaxdd.networks.families import FAMILIES
from jaxdd.networks.functional import count_parameters, from_linen
from jaxdd.networks.published import NAMED, named, network_name
from jaxdd.records import NetworkSpec

__all__ = [
    "NAMED",
    "NAMES",
    "build",
    "centred",
    "count_parameters",
    "from_linen",
    "named",
    "network_name",
]

NAMES = tuple(FAMILIES)
_DTYPES = ("float32", "bfloat16")


def build(
    spec: NetworkSpec,
    image_shape: tuple[int, int, int],
    outputs: int,
    *,
    dtype: str = "float32",
) -> Network:
    """The network that `spec` describes.

    Args:
      spec: architecture and options.
      image_shape: (h, w, c).
      outputs: width of the last layer; 0 leaves it out, and the features stand for the
        logits.
      dtype: precision of the body. bfloat16 keeps weights, statistics of normalisation,
        features and logits in float32; float32 follows float64 inputs.

    Returns:
      The network; equal arguments return the same object, so that compiled code that
      closes over it is found again.

    Raises:
      InputError: an unknown name, or options that do not fit together.
    """
    height, width, channels = image_shape
    image_shape = height, width, channels
    _check(spec, image_shape, dtype)
    if spec.conv == "auto":
        spec = dataclasses.replace(spec, conv=conv.choose(spec.conv))
    return _build(spec, image_shape, outputs, dtype)


@lru_cache(maxsize=128)
def _build(
    spec: NetworkSpec,
    image_shape: tuple[int, int, int],
    outputs: int,
    dtype: str,
) -> Network:
    """`build` once its arguments are checked and the convolution is chosen."""
    common = {
        "outputs": outputs,
        "initialiser": spec.initialiser,
        "dtype": None if dtype == "float32" else jnp.dtype(dtype),
    }
    module, name = FAMILIES[spec.name](spec, image_shape, common)
    network = from_linen(module, image_shape, name=name)
    return network._replace(per_image=spec.norm != "batch")


def _check(spec: NetworkSpec, image_shape: tuple[int, ...], dtype: str) -> None:
    """Names of the architecture and of its options."""
    one_of("network.name", spec.name, NAMES)
    one_of("dtype", dtype, _DTYPES)
    check_choices(spec, "network")
    if len(image_shape) != 3 or min(image_shape) < 1:
        raise InputError(f"image_shape: {image_shape}; it is (height, width, channels)")
