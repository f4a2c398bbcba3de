"""A convolution that stays fast on CPU when its gradient sits inside a loop.

XLA rewrites convolutions into the layout of its fast CPU kernels only in the outermost
computation: in a scan, map or cond the two backward convolutions stay naive loops, 25
to 100 times slower (jax issue 12868). Here every derivative, of any order, is again a
forward convolution or a matrix product. Reverse mode only; "rows" is for forward mode.
"""

from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import lax

from jaxdd.base import Array
from jaxdd.networks import winograd
from jaxdd.networks.arrays import alike, pad

__all__ = ["Kind", "choose", "convolve", "general_dilated"]

Kind = Literal["stock", "cpu", "rows"]

_LAYOUT = ("NHWC", "HWIO", "NHWC")
_FEW_CHANNELS = 4  # below, gathering windows beats XLA's kernel 2 to 3 times
_FEW_PIXELS = 4  # measured: 512 channels at 2x2 pixels take 40 times less by windows
_MANY_CHANNELS = 64  # from here, matrix products make the faster kernel gradient


def choose(conv: Literal["auto"] | Kind) -> Kind:
    """The convolution to build a network with: "auto" follows the default backend."""
    if conv == "auto":
        return "cpu" if jax.default_backend() == "cpu" else "stock"
    return conv


def convolve(
    image: Array,
    kernel: Array,
    stride: int = 1,
    padding: int = 0,
    *,
    any_mode: bool = False,
) -> Array:
    """Convolution with a square kernel, zero-padded alike on all four sides.

    Args:
      image: [n,h,w,c]. kernel: [k,k,c,o]. stride: of both axes.
      padding: zero pixels on each side.
      any_mode: by matrix products of shifted rows: slower, but there are derivatives in
        forward mode too.

    Returns:
      [n,h',w',o] with h' = (h + 2 padding - k) // stride + 1.
    """
    size, channels = kernel.shape[0], image.shape[-1]
    if size == 1:
        image = _framed(image, padding)[:, ::stride, ::stride]
        return jnp.tensordot(image, kernel[0, 0], 1)
    if stride > 1 or channels <= _FEW_CHANNELS:
        return _by_windows(image, kernel, stride, padding)
    if any_mode:
        return _by_rows(image, kernel, padding)
    inside = min(padding, size - 1)  # beyond, the derivatives would need cropping
    return _correlate(*alike(_framed(image, padding - inside), kernel), inside)


def general_dilated(
    lhs: Array,
    rhs: Array,
    window_strides: Any = (1, 1),
    padding: Any = "SAME",
    lhs_dilation: Any = None,
    rhs_dilation: Any = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    *,
    any_mode: bool = False,
    **options: Any,
) -> Array:
    """`lax.conv_general_dilated` for `flax.linen.Conv(conv_general_dilated=...)`.

    Takes `convolve`, with its option `any_mode`, where that covers the case, and XLA's
    convolution elsewhere.
    """
    dilations = (lhs_dilation, rhs_dilation)
    plain = feature_group_count == 1 and all(
        d is None or set(d) == {1} for d in dilations
    )
    square = rhs.ndim == 4 and rhs.shape[0] == rhs.shape[1]
    if plain and square and len(set(window_strides)) == 1:
        pads = padding
        if isinstance(pads, str):
            pads = lax.padtype_to_pads(
                lhs.shape[1:-1], rhs.shape[:2], window_strides, pads
            )
        sides = {int(side) for pair in pads for side in pair}
        if len(sides) == 1:
            stride = int(window_strides[0])
            return convolve(lhs, rhs, stride, sides.pop(), any_mode=any_mode)
    return lax.conv_general_dilated(
        lhs,
        rhs,
        window_strides,
        padding,
        lhs_dilation,
        rhs_dilation,
        dimension_numbers,
        feature_group_count,
        **options,
    )


def _framed(image: Array, by: int) -> Array:
    """Zero pixels on each side of [n,h,w,c]."""
    return pad(image, (by, by), (by, by))


def _forward(image: Array, kernel: Array, padding: int) -> Array:
    """Stride-1 convolution: Winograd's, or XLA's in the form of its fast CPU kernel.

    On maps of a few pixels XLA's takes the time of hundreds.
    """
    if image.shape[1] * image.shape[2] <= _FEW_PIXELS:
        return _by_windows(image, kernel, 1, padding)
    if winograd.correlate_pays(image, kernel, padding):
        return winograd.correlate(image, kernel, padding)
    pads = ((padding, padding), (padding, padding))
    return lax.conv_general_dilated(
        image, kernel, (1, 1), pads, dimension_numbers=_LAYOUT
    )


def _by_windows(image: Array, kernel: Array, stride: int, padding: int) -> Array:
    """Gathers all k*k shifted views, then one matrix product."""
    size, outputs = kernel.shape[0], kernel.shape[-1]
    padded = _framed(image, padding)
    rows, columns = ((padded.shape[axis] - size) // stride + 1 for axis in (1, 2))
    views = [
        padded[
            :, i : i + stride * (rows - 1) + 1 : stride,
            j : j + stride * (columns - 1) + 1 : stride,
        ]
        for i in range(size)
        for j in range(size)
    ]  # fmt: skip
    windows = jnp.concatenate(views, -1)
    # As plain matrices: the derivative of a product over four axes is 4 times slower.
    flat = windows.reshape(-1, windows.shape[-1]) @ kernel.reshape(-1, outputs)
    return flat.reshape(*windows.shape[:-1], outputs)


def _by_rows(image: Array, kernel: Array, padding: int) -> Array:
    """A product for every row of the kernel, of maps shifted by its columns.

    Stride 1. No derivative of its own, so any mode; a third of the windows' memory.
    """
    size, _, channels, outputs = kernel.shape
    padded = _framed(image, padding)
    rows, columns = padded.shape[1] - size + 1, padded.shape[2] - size + 1
    shifted = [padded[:, :, j : j + columns] for j in range(size)]
    wide = jnp.concatenate(shifted, -1)
    products = [
        wide[:, i : i + rows].reshape(-1, size * channels)
        @ kernel[i].reshape(size * channels, outputs)
        for i in range(size)
    ]
    flat = sum(products[1:], products[0])
    return flat.reshape(image.shape[0], rows, columns, outputs)


def _turned(kernel: Array) -> Array:
    """The kernel of the adjoint: rotated by half a turn, channels exchanged."""
    return kernel[::-1, ::-1].swapaxes(2, 3)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _correlate(image: Array, kernel: Array, padding: int) -> Array:
    """Stride-1 convolution, 0 <= padding < k."""
    return _forward(image, kernel, padding)


def _correlate_fwd(image: Array, kernel: Array, padding: int) -> tuple[Array, Any]:
    # Not `_forward`: an outer derivative differentiates this rule.
    return _correlate(image, kernel, padding), (image, kernel)


def _correlate_bwd(padding: int, saved: Any, gradient: Array) -> tuple[Array, Array]:
    image, kernel = saved
    size = kernel.shape[0]
    return (
        _correlate(gradient, _turned(kernel), size - 1 - padding),
        _kernel_gradient(image, gradient, padding, size),
    )


_correlate.defvjp(_correlate_fwd, _correlate_bwd)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _kernel_gradient(image: Array, gradient: Array, padding: int, size: int) -> Array:
    """Derivative of <gradient, correlate(image, kernel)> by the kernel [k,k,c,o].

    Bilinear in image and gradient, so its own derivatives are convolutions again.
    """
    if winograd.gradient_pays(image, gradient, padding, size):
        return winograd.kernel_gradient(image, gradient, padding)
    channels, outputs = image.shape[-1], gradient.shape[-1]
    if min(channels, outputs) < _MANY_CHANNELS:
        image, gradient = image.transpose(3, 1, 2, 0), gradient.transpose(1, 2, 0, 3)
        return _forward(image, gradient, padding).transpose(1, 2, 0, 3)
    _, rows, columns, _ = gradient.shape
    padded, flat = _framed(image, padding), gradient.reshape(-1, outputs)
    taps = [
        padded[:, i : i + rows, j : j + columns].reshape(-1, channels).T @ flat
        for i in range(size)
        for j in range(size)
    ]
    return jnp.stack(taps).reshape(size, size, channels, outputs)


def _kernel_gradient_fwd(
    image: Array, gradient: Array, padding: int, size: int
) -> tuple[Array, Any]:
    return _kernel_gradient(image, gradient, padding, size), (image, gradient)


def _kernel_gradient_bwd(
    padding: int, size: int, saved: Any, tangent: Array
) -> tuple[Array, Array]:
    image, gradient = saved
    return (
        _correlate(gradient, _turned(tangent), size - 1 - padding),
        _correlate(image, tangent, padding),
    )


_kernel_gradient.defvjp(_kernel_gradient_fwd, _kernel_gradient_bwd)
