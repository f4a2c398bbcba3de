"""Kernels by name: what a `KernelSpec` means."""

import math
from functools import lru_cache
from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp

from jaxdd import errors as names
from jaxdd.base import Array, Key, Variables
from jaxdd.errors import InputError
from jaxdd.kernels import _neural_tangents, analytic
from jaxdd.kernels.finite import FINITE, finite_kernel, finite_variables
from jaxdd.kernels.kernel import Kernel
from jaxdd.records import KernelSpec

__all__ = ["linear", "named", "variables"]

ImageShape = tuple[int, int, int]

_CHOICES = ("name", "architecture", "pooling", "activation", "backend")


def named(spec: KernelSpec, image_shape: ImageShape) -> Kernel:
    """The kernel that `spec` describes.

    Args:
      spec: name and options.
      image_shape: (h, w, c) of the images it will be given.

    Returns:
      The kernel; equal arguments return the same object, so that compiled code that
      closes over it is found again.

    Raises:
      InputError: an unknown name, a value out of range, a layer that is not supported.
    """
    _check(spec)
    height, width, channels = image_shape
    return _named(spec, (height, width, channels))


@lru_cache(maxsize=64)
def _named(spec: KernelSpec, image_shape: ImageShape) -> Kernel:
    """`named` once its arguments are checked."""
    if spec.name == "linear":
        return linear
    if spec.name in FINITE:
        return finite_kernel(spec, image_shape)
    if spec.backend == "neural_tangents":
        return _neural_tangents.kernel(spec)
    return analytic.kernel(spec, image_shape)


def variables(
    spec: KernelSpec, key: Key, image_shape: ImageShape
) -> Variables | tuple[()]:
    """What the kernel needs as its third argument: () where it needs nothing.

    Args:
      spec: of the kernel.
      key: of the initialisation.
      image_shape: (h, w, c).

    Returns:
      Variables of one network, or of all members with a leading axis.
    """
    if spec.name in FINITE:
        _check(spec)
        return finite_variables(spec, key, image_shape)
    return ()


def linear(x1: Array, x2: Array, variables: tuple = ()) -> Array:
    """x.x' over all pixels and channels: [n,...], [m,...] to [n,m]."""
    flat = (x.reshape(len(x), -1) for x in (x1, x2))
    left, right = flat
    return jnp.matmul(left, right.T, precision=jax.lax.Precision.HIGHEST)


def _check(spec: KernelSpec) -> None:
    """The values that do not depend on the images."""
    hints = get_type_hints(KernelSpec)
    for field in _CHOICES:
        value, allowed = getattr(spec, field), get_args(hints[field])
        if value not in allowed:
            raise InputError(
                f"kernel {field} is {value!r}; allowed are {', '.join(allowed)}."
                f"{names.nearest(value, allowed)}"
            )
    for field in ("depth", "members"):
        value = getattr(spec, field)
        if value < 1:
            raise InputError(f"kernel {field} is {value}; it must be at least 1")
    if not 0 < spec.weight_std < math.inf:
        raise InputError(f"weight_std is {spec.weight_std}; it must be above 0")
    if not 0 <= spec.bias_std < math.inf:
        raise InputError(f"bias_std is {spec.bias_std}; it must be 0 or above")
