"""Kernel ridge regression by conjugate gradients, for kernels too large to factor.

All columns of the targets go through one product with the kernel a step. A Nystrom
preconditioner from a few landmarks makes the number of steps independent of how fast
the leading eigenvalues grow.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax

from jaxdd.base import Array, PyTree
from jaxdd.errors import InputError
from jaxdd.kernels.conjugate_gradients import Outcome, conjugate_gradients
from jaxdd.kernels.feature import chunked
from jaxdd.kernels.kernel import Kernel
from jaxdd.kernels.nystrom import diagonal, low_rank, preconditioner
from jaxdd.kernels.precision import dot, promote, residual
from jaxdd.kernels.ridge import Ridge

__all__ = ["IterativeInfo", "Operator", "fit_iterative", "operator"]


class Operator(NamedTuple):
    """A symmetric kernel [m,m] that is never held as a whole."""

    product: Callable[[Array], Array]
    """[m,k] to [m,k]."""
    row: Callable[[Array], Array]
    """index [] to [m]."""
    diagonal: Array
    """[m]."""
    residual: Callable[[Array, Array], Array]
    """An answer and a right-hand side [m,k] to right - K answer, at its most exact."""


class IterativeInfo(NamedTuple):
    """What an iterative solve reports, detached; every field has shape []."""

    ridge: Array
    """lam as used; 0 for a kernel that is zero."""
    steps: Array
    """int32: products with the kernel."""
    residual: Array
    """The largest ||K a + lam a - y|| / ||y|| of a column, computed anew at the end. Of
    an answer in float32 it is seldom below 1e-9 times the condition number, small as
    the effect on predictions is."""
    ok: Array
    """bool: the recursion reached the tolerance before the last step."""


def operator(
    kernel: Kernel,
    image: Array,
    variables: PyTree = (),
    *,
    rows: int | None = None,
) -> Operator:
    """The kernel of a set with itself, computed anew for every product.

    Memory rows m, for value and gradient. Where [m,m] fits, give that to
    `fit_iterative` instead: a product is then cheap.

    Args:
      kernel: of images.
      image: [m,h,w,c].
      variables: the kernel's third argument.
      rows: of the kernel at a time; None = all.
    """

    def product(value: Array) -> Array:
        return chunked(lambda x: dot(kernel(x, image, variables), value), image, rows)

    return Operator(
        product,
        lambda index: kernel(image[index][None], image, variables)[0],
        diagonal(kernel, image, variables, chunk=rows),
        lambda answer, right: right - product(answer),
    )


def fit_iterative(
    k_ss: Array | Operator,
    y_s: Array,
    ridge: Ridge,
    *,
    landmarks: int = 100,
    tolerance: float = 1e-6,
    steps: int = 1000,
    refine: int = 1,
) -> tuple[Array, IterativeInfo]:
    """Dual coefficients `(K + lam I)^-1 Y` by preconditioned conjugate gradients.

    Differentiable like `jaxdd.kernels.ridge.fit`: the gradient is another solve of the
    same system. Costs m^2 k a step and m r^2 for the preconditioner; measured numbers
    of steps are in docs/kernels.md. Below m of about 20,000 `fit` is the faster one.

    Args:
      k_ss: kernel [m,m], or the operator that stands for it.
      y_s: targets [m,k].
      ridge: the regularisation; it is never raised.
      landmarks: r, rows of the preconditioner (at most m); 0 = none.
      tolerance: stop where ||residual|| <= tolerance ||y|| in every column.
      steps: stop after so many at the latest.
      refine: how often to start again from the residual, computed anew (in float64 for
        a kernel that is given whole): what the recursion calls the residual drifts away
        from it by rounding, in proportion to the condition number.

    Returns:
      coefficients [m,k] and the report.

    Raises:
      InputError: a tolerance not above 0, steps below 1, or landmarks below 0.
    """
    _check(landmarks, tolerance, steps)
    kernel = k_ss if isinstance(k_ss, Operator) else _dense(k_ss)
    whole, y_s = promote(kernel.diagonal, y_s)
    lam = ridge.strength(jnp.sum(whole), y_s.shape[0])
    # A zero kernel has lam = 0: solve the identity for a zero right-hand side.
    empty = lam <= 0
    lam, right = jnp.where(empty, 1, lam), jnp.where(empty, 0, y_s)
    inverse = _inverse(kernel, lam, min(landmarks, y_s.shape[0]))

    def solve(product: Callable, value: Array) -> tuple[Array, Outcome]:
        error = lambda answer: kernel.residual(answer, value - lam * answer)
        return conjugate_gradients(
            product, error, value, inverse, tolerance, steps, refine + 1
        )

    answer, outcome = lax.custom_linear_solve(
        lambda value: kernel.product(value) + lam * value,
        right,
        solve,
        symmetric=True,
        has_aux=True,
    )
    used = lax.stop_gradient(jnp.where(empty, 0, lam))
    return answer, IterativeInfo(used, *lax.stop_gradient(outcome))


def _check(landmarks: int, tolerance: float, steps: int) -> None:
    if not 0 < tolerance < 1:
        raise InputError(
            f"tolerance is {tolerance}; it must be in (0, 1), such as 1e-6"
        )
    if steps < 1:
        raise InputError(f"steps is {steps}; it must be at least 1")
    if landmarks < 0:
        raise InputError(f"landmarks is {landmarks}; it must be 0 (none) or more")


def _dense(k_ss: Array) -> Operator:
    """The operator of a kernel that is there."""
    (k_ss,) = promote(k_ss)
    k_ss = (k_ss + k_ss.T) / 2
    return Operator(
        lambda value: dot(k_ss, value),
        lambda index: k_ss[index],
        jnp.diagonal(k_ss),
        lambda answer, right: residual(lax.stop_gradient(k_ss), answer, right),
    )


def _inverse(kernel: Operator, lam: Array, landmarks: int) -> Callable[[Array], Array]:
    """The preconditioner, a constant of differentiation."""
    if landmarks == 0:
        return lambda right: right
    row = lambda index: lax.stop_gradient(kernel.row(index))
    (whole,) = promote(lax.stop_gradient(kernel.diagonal))
    factor = low_rank(whole, row, landmarks).factor
    return preconditioner(factor, lax.stop_gradient(lam))
