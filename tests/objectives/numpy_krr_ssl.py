"""KRR-ST's outer loss and gradients once more, in NumPy float64 and by hand.

Written from the formulas: plain loops, closed-form derivatives of the regression
(`dL/dY = W`, `dL/dM = -W A^T`), and back-propagation through the blocks of a network
in evaluation mode. It shares nothing with the library.
"""

from typing import NamedTuple

import numpy as np

Array = np.ndarray


class Block(NamedTuple):
    """One block: convolution 3x3, batch norm with fixed statistics."""

    kernel: Array  # [3,3,c,o]
    bias: Array  # [o]
    scale: Array  # [o]
    shift: Array  # [o]
    mean: Array  # [o]
    var: Array  # [o]


def forward(blocks: list[Block], image: Array) -> tuple[Array, list[Array]]:
    """Flattened features [n,d] and the pre-activations of each block."""
    x, kept = image, []
    for block in blocks:
        before = _convolve(x, block.kernel) + block.bias
        z = (before - block.mean) / np.sqrt(block.var + 1e-5)
        z = z * block.scale + block.shift
        kept.append(z)
        x = _pool(np.maximum(z, 0))
    return x.reshape(len(x), -1), kept


def backward(blocks: list[Block], kept: list[Array], cotangent: Array) -> Array:
    """The cotangent of the image, given that of the features [n,d]."""
    n, h, w, c = kept[-1].shape
    g = cotangent.reshape(n, h // 2, w // 2, c)
    for block, z in zip(reversed(blocks), reversed(kept), strict=True):
        g = np.repeat(np.repeat(g, 2, 1), 2, 2) / 4
        g = g * (z > 0) * block.scale / np.sqrt(block.var + 1e-5)
        turned = block.kernel[::-1, ::-1].transpose(0, 1, 3, 2)
        g = _convolve(g, turned)
    return g


def outer_loss(
    blocks: list[Block], x_s: Array, y_s: Array, x_b: Array, y_b: Array
) -> tuple[float, Array, Array]:
    """The loss and its gradients with respect to x_s and y_s."""
    features, kept = forward(blocks, x_s)
    f_s = np.c_[features, np.ones(len(x_s))]
    f_b = np.c_[forward(blocks, x_b)[0], np.ones(len(x_b))]
    k_ss, k_bs = f_s @ f_s.T, f_b @ f_s.T
    matrix = k_ss + 1e-6 * np.trace(k_ss) * np.eye(len(x_s))
    inverse = np.linalg.inv(matrix)
    a = inverse @ y_s
    error = k_bs @ a - y_b
    g = 2 * error / error.size
    w = inverse @ k_bs.T @ g
    d_matrix, d_cross = -w @ a.T, g @ a.T
    d_f = (d_matrix + d_matrix.T) @ f_s + d_cross.T @ f_b
    return float(np.mean(error**2)), backward(blocks, kept, d_f[:, :-1]), w


def _convolve(image: Array, kernel: Array) -> Array:
    """3x3 convolution with zero padding 1."""
    _, h, w, _ = image.shape
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1), (0, 0)))
    out = 0.0
    for i in range(3):
        for j in range(3):
            window = padded[:, i : i + h, j : j + w]
            out = out + np.einsum("nhwc,co->nhwo", window, kernel[i, j])
    return np.asarray(out)


def _pool(x: Array) -> Array:
    """2x2 average pooling."""
    return (x[:, ::2, ::2] + x[:, 1::2, ::2] + x[:, ::2, 1::2] + x[:, 1::2, 1::2]) / 4
