"""A depthwise convolution that stays fast on CPU when its gradient sits inside a loop.

XLA's CPU code for grouped convolutions is slow everywhere and its gradients in a loop
are slower still (`jaxdd.networks.conv` says why). A depthwise one is few
multiplications, so here it is a sum of shifted images times one weight a channel, and
so is every derivative, of any order. Reverse mode only, unless asked for by `any_mode`.
"""

from typing import Any

import jax
import jax.numpy as jnp

from jaxdd.base import Array
from jaxdd.networks.arrays import alike, pad

__all__ = ["convolve", "grouped"]


def convolve(
    image: Array,
    kernel: Array,
    stride: int = 1,
    padding: int = 0,
    *,
    any_mode: bool = False,
) -> Array:
    """Convolves every channel with a kernel of its own, zero-padded on all four sides.

    Args:
      image: [n,h,w,c]. kernel: [k,k,c]. stride: of both axes.
      padding: zero pixels on each side.
      any_mode: without a derivative of its own, so that forward mode works too.

    Returns:
      [n,h',w',c] with h' = (h + 2 padding - k) // stride + 1.
    """
    rows, columns = (
        (side + 2 * padding - kernel.shape[0]) // stride + 1
        for side in image.shape[1:3]
    )
    image = pad(image, (padding, padding), (padding, padding))
    phases = min(stride, len(kernel))
    correlate = _sum if any_mode else _correlate
    terms = []
    for i in range(phases):
        for j in range(phases):
            # Every stride-th pixel against every stride-th weight: no stride is left.
            part = kernel[i::stride, j::stride]
            view = image[:, i::stride, j::stride]
            view = view[:, : rows + part.shape[0] - 1, : columns + part.shape[1] - 1]
            terms.append(correlate(*alike(view, part)))
    return sum(terms[1:], terms[0])


def grouped(
    lhs: Array,
    rhs: Array,
    window_strides: Any,
    padding: Any,
    feature_group_count: int = 1,
    *,
    any_mode: bool = False,
    **options: Any,
) -> Array:
    """`convolve` for `flax.linen.Conv(conv_general_dilated=...)` with c groups of c."""
    del feature_group_count, options
    stride, sides = int(window_strides[0]), int(padding[0][0])
    return convolve(lhs, rhs[:, :, 0], stride, sides, any_mode=any_mode)


@jax.custom_vjp
def _correlate(image: Array, kernel: Array) -> Array:
    """Sum over the kernel [a,b,c] of shifted images: [n,h,w,c] to [n,h-a+1,w-b+1,c]."""
    return _sum(image, kernel)


def _sum(image: Array, kernel: Array) -> Array:
    height, width = kernel.shape[:2]
    rows, columns = image.shape[1] - height + 1, image.shape[2] - width + 1
    terms = [
        image[:, i : i + rows, j : j + columns] * kernel[i, j][None, None, None]
        for i in range(height)
        for j in range(width)
    ]
    return sum(terms[1:], terms[0])


def _correlate_fwd(image: Array, kernel: Array) -> tuple[Array, Any]:
    # Not `_sum`: an outer derivative differentiates this rule.
    return _correlate(image, kernel), (image, kernel)


def _correlate_bwd(saved: Any, gradient: Array) -> tuple[Array, Array]:
    image, kernel = saved
    return _spread(gradient, kernel), _kernel_gradient(image, gradient)


_correlate.defvjp(_correlate_fwd, _correlate_bwd)


def _spread(gradient: Array, kernel: Array) -> Array:
    """The adjoint of `_correlate` in the image: again one, of a larger map."""
    rows, columns = kernel.shape[0] - 1, kernel.shape[1] - 1
    return _correlate(
        pad(gradient, (rows, rows), (columns, columns)), kernel[::-1, ::-1]
    )


@jax.custom_vjp
def _kernel_gradient(image: Array, gradient: Array) -> Array:
    """Derivative of <gradient, _correlate(image, kernel)> by the kernel [a,b,c]."""
    _, rows, columns, _ = gradient.shape
    height, width = image.shape[1] - rows + 1, image.shape[2] - columns + 1
    # Over the images first: 3 times faster than over all three axes at once.
    sums = [
        (image[:, i : i + rows, j : j + columns] * gradient).sum(0).sum((0, 1))
        for i in range(height)
        for j in range(width)
    ]
    return jnp.stack(sums).reshape(height, width, image.shape[-1])


def _kernel_gradient_fwd(image: Array, gradient: Array) -> tuple[Array, Any]:
    return _kernel_gradient(image, gradient), (image, gradient)


def _kernel_gradient_bwd(saved: Any, tangent: Array) -> tuple[Array, Array]:
    image, gradient = saved
    return _spread(gradient, tangent), _correlate(image, tangent)


_kernel_gradient.defvjp(_kernel_gradient_fwd, _kernel_gradient_bwd)
