"""The labels that are best for given images, in closed form.

The kernel regression's loss is quadratic in the labels of its support: its minimum is
the Nystrom predictor with the support as landmarks and no ridge, written as labels.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import whiten
from jaxdd.base import Array, Corpus
from jaxdd.errors import InputError
from jaxdd.kernels import Kernel
from jaxdd.kernels.ridge import Ridge
from jaxdd.training.losses import centred_one_hot

__all__ = ["solved_labels"]


def solved_labels(
    kernel: Kernel,
    image: Array,
    corpus: Corpus,
    ridge: Ridge,
    *,
    rows: int = 1000,
    rcond: float = 1e-7,
) -> np.ndarray:
    """`Y_s = (K_ss + lam I) K_ts^+ Y_t`, the minimum of ||K_ts A - Y_t||^2 as labels.

    In float64, over all real images by blocks of rows: K_ts and Y_t are reduced to
    the triangle R of their QR factorisation, which has the same singular values and
    leaves them unsquared. Costs n m (d + 2 (m + k)) operations and memory for one block
    and m (m + k) numbers (Nguyen et al., ICLR 2021, arXiv 2011.00050, Label Solve).

    Args:
      kernel: of infinitely wide networks; it takes no variables.
      image: the support [m,h,w,c], whitened.
      corpus: the real images and their labels.
      ridge: of the regression that will use the labels.
      rows: real images at a time.
      rcond: singular values of K_ts below this share of the largest count as 0.
        Rounding of a float32 kernel hides those below about 1e-7.

    Returns:
      labels [m,k], float64.

    Raises:
      InputError: rows below 1, rcond out of range, or a kernel that is not finite.
    """
    if rows < 1 or not 0 <= rcond < 1:
        raise InputError(
            f"distill.rows={rows}, distill.rcond={rcond}: rows is at least 1, rcond in"
            " [0, 1)"
        )
    with jax.enable_x64(True):
        support = jnp.asarray(image, jnp.float64)
        gram = np.asarray(jax.jit(kernel)(support, support))
        triangle = _triangle(kernel, support, corpus, rows)
    if not (np.isfinite(gram).all() and np.isfinite(triangle).all()):
        raise InputError("the kernel of the images is not finite; look for NaN in them")
    size = len(gram)
    left, right = triangle[:size, :size], triangle[:size, size:]
    alpha = np.linalg.lstsq(left, right, rcond=rcond)[0]
    with jax.enable_x64(True):
        lam = float(ridge.strength(jnp.asarray(np.trace(gram)), size))
    return (gram + gram.T) / 2 @ alpha + lam * alpha


def _triangle(kernel: Kernel, support: Array, corpus: Corpus, rows: int) -> np.ndarray:
    """R [m+k or fewer, m+k] of the QR factorisation of [K_ts, Y_t]."""

    @jax.jit
    def block(index: Array, support: Array, corpus: Corpus) -> Array:
        unit = whiten.to_unit(corpus.image[index], jnp.float64)
        real = whiten.apply(corpus.whitening, unit)
        target = centred_one_hot(corpus.label[index], corpus.num_classes, jnp.float64)
        return jnp.concatenate([kernel(real, support), target], axis=1)

    triangle = np.zeros((0, support.shape[0] + corpus.num_classes))
    for index in _parts(corpus.size, rows):
        part = np.asarray(block(jnp.asarray(index), support, corpus))
        triangle = np.asarray(np.linalg.qr(np.concatenate([triangle, part]), "r"))
    return triangle


def _parts(size: int, most: int) -> Iterator[np.ndarray]:
    """The numbers below `size` in balanced parts, of at most two lengths."""
    yield from np.array_split(np.arange(size, dtype=np.int32), -(-size // most))
