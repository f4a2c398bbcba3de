"""Kernel ridge regression on a set: fitted once, its dual weights fixed at test.

What decides a compiled program is made once per kernel, image shape and ridge, and
arrays are passed as data: all seeds, and all rows of one shape, share it.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxdd import kernels
from jaxdd.base import Array, Synthetic, Variables
from jaxdd.errors import InputError
from jaxdd.kernels.ridge import Ridge, fit, predict
from jaxdd.kernels.spelling import spelled_kernel
from jaxdd.records import Fc, KernelSpec, Protocol, WideKernel

__all__ = ["Fitted", "check_kernels", "fit_kernel", "predictor", "ridge_of"]

ImageShape = tuple[int, int, int]
Parameters = Variables | tuple[()]

_BUDGET = 2**30  # bytes that a kernel may take while it is computed
_MAPS = 8  # arrays of the size of its maps that are alive at a time


class Fitted(NamedTuple):
    """A regression with its dual weights; what `predictor` applies."""

    image: Array  # [m,h,w,c], the support
    alpha: Array  # [m,k]
    variables: Parameters


class _Solved(NamedTuple):
    alpha: Array  # [m,k]
    ridge: Array  # as used, in units of the mean eigenvalue
    retries: Array
    finite: Array  # whether the kernel is
    ok: Array  # whether it could be factored


def ridge_of(protocol: Protocol) -> Ridge:
    """The ridge of a protocol's regressions.

    Raises:
      InputError: it is not above 0, or its scale is unknown.
    """
    asked = protocol.regression
    try:
        return Ridge(asked.ridge, asked.ridge_scale)
    except InputError as error:
        raise InputError(f"evaluate.regression.ridge={asked.ridge}: {error}") from error


def check_kernels(protocol: Protocol, image_shape: ImageShape) -> None:
    """Refuses what the protocol's regressions could not use, before anything is made.

    Raises:
      InputError: a kernel that is unknown, cannot take the images or is named twice; a
        ridge or number of real images out of range.
    """
    ridge_of(protocol)
    asked = protocol.regression
    if asked.full < 0:
        raise InputError(f"evaluate.regression.full={asked.full}: must be at least 0")
    called = [spelled_kernel(spec) for spec in asked.kernels]
    for name, spec in zip(called, asked.kernels, strict=True):
        if called.count(name) > 1:
            raise InputError(
                f"evaluate.regression.kernels: {name!r} is named twice; rows of both"
                " could not be told apart"
            )
        kernels.named(spec, image_shape)


def fit_kernel(
    spec: KernelSpec,
    ridge: Ridge,
    support: Synthetic,
    variables: Parameters = (),
    *,
    where: str = "",
) -> tuple[Fitted, dict[str, float]]:
    """Ridge regression of the targets on the images.

    Weights of rows are those of their squared errors: a row of weight 0 is none.

    Args:
      spec: the kernel.
      ridge: relative to the kernel of the weighted rows.
      support: images [m,h,w,c], float targets [m,k], weights [m].
      variables: of a finite kernel's networks.
      where: names the set in messages.

    Returns:
      The regression, and what it took: `ridge` in units of the mean eigenvalue as used,
      and `ridge_retries`, how often it was raised tenfold for float32 to factor it.

    Raises:
      InputError: the kernel is not finite, or cannot be factored at any ridge tried.
    """
    _, height, width, channels = support.image.shape
    solve = _solver(spec, (height, width, channels), ridge)
    given = (support.image, support.target, support.weight)
    solved: _Solved = jax.device_get(solve(variables, *given))
    called = f"{where}: the kernel {spelled_kernel(spec)}"
    if not solved.finite:
        raise InputError(
            f"{called} has entries that are not finite; look for images with NaN or"
            " very large numbers, or a network that overflows"
        )
    if not solved.ok:
        raise InputError(
            f"{called} cannot be factored even at a ridge of {float(solved.ridge):.3g}"
            " of its mean eigenvalue; give a larger --evaluate.regression.ridge"
        )
    fitted = Fitted(support.image, jnp.asarray(solved.alpha), variables)
    return fitted, {
        "ridge": float(solved.ridge),
        "ridge_retries": float(solved.retries),
    }


@lru_cache(maxsize=64)
def _solver(
    spec: KernelSpec, image_shape: ImageShape, ridge: Ridge
) -> Callable[..., _Solved]:
    """`(variables, image, target, weight) -> _Solved`, jitted."""
    kernel = _in_blocks(spec, image_shape)

    @jax.jit
    def solve(
        variables: Parameters, image: Array, target: Array, weight: Array
    ) -> _Solved:
        # With W^1/2 on both sides, weighted rows are plain ones.
        root = jnp.sqrt(weight)[:, None]
        gram = root * kernel(image, image, variables) * root.T
        gram = (gram + gram.T) / 2
        alpha, info = fit(gram, root * target, ridge)
        mean = jnp.trace(gram) / len(gram)
        used = jnp.where(mean > 0, info.ridge / jnp.where(mean > 0, mean, 1), 0)
        finite = jnp.isfinite(gram).all()
        return _Solved(root * alpha, used, info.retries, finite, info.ok)

    return solve


@lru_cache(maxsize=64)
def predictor(
    spec: KernelSpec, image_shape: ImageShape
) -> Callable[[Fitted, Array], Array]:
    """`(fitted, image [n,h,w,c]) -> [n,k]`; equal arguments, the same function."""
    kernel = _in_blocks(spec, image_shape)

    def apply(fitted: Fitted, image: Array) -> Array:
        return predict(kernel(image, fitted.image, fitted.variables), fitted.alpha)

    return apply


def _in_blocks(spec: KernelSpec, image_shape: ImageShape) -> kernels.Kernel:
    """The kernel in blocks that fit a memory, whatever the number of images."""
    kernel = kernels.named(spec, image_shape)

    def blocked(x1: Array, x2: Array, variables: Parameters) -> Array:
        if _bytes(spec, x1, x2) <= _BUDGET:
            return kernel(x1, x2, variables)
        shapes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), variables
        )
        size = kernels.choose_blocks(
            kernel, x1.shape, x2.shape, _BUDGET, variables=shapes, gradient=False
        )
        parts = kernels.blocked(kernel, size.rows, size.columns)
        return parts(x1, x2, variables)

    return blocked


def _bytes(spec: KernelSpec, x1: Array, x2: Array) -> int:
    """No less than a kernel takes that is computed whole; the compiler knows better."""
    pixels = x1.shape[1] * x1.shape[2]
    if isinstance(spec, WideKernel) and not isinstance(spec.architecture, Fc):
        pixels = pixels**2  # pooled maps are of pairs of pixels
    return _MAPS * x1.shape[0] * x2.shape[0] * pixels * x1.dtype.itemsize
