"""Kernels by name: what a `KernelSpec` means."""

from functools import lru_cache

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Key, Variables
from jaxdd.errors import check_choices, check_numbers
from jaxdd.kernels import _neural_tangents, analytic
from jaxdd.kernels.finite import Finite, finite_kernel, finite_variables
from jaxdd.kernels.kernel import Kernel
from jaxdd.records import (
    Architecture,
    KernelSpec,
    LinearKernel,
    RandomFeatures,
    WideKernel,
)

__all__ = ["linear", "named", "variables"]

ImageShape = tuple[int, int, int]


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
    if isinstance(spec, LinearKernel):
        return linear
    if not isinstance(spec, WideKernel):
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
    if isinstance(spec, Finite):
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
    check_choices(spec, "kernel")
    if isinstance(spec, RandomFeatures):
        check_numbers(spec, counts=("members",), name="kernel")
    if isinstance(spec, WideKernel):
        scales = {"positive": ("weight_std",), "not_negative": ("bias_std",)}
        check_numbers(spec, **scales, name="kernel")
        if not isinstance(spec.architecture, Architecture):
            name = "kernel.architecture"
            check_numbers(spec.architecture, counts=("depth",), name=name)
