"""Kernel ridge regression: the published ridges, the solve, and its derivative.

One Cholesky factor serves the solution and its gradient, whose derivative is that of
the linear system (implicit), never of the factorisation. Formulas: for
`M = K + lam I`, `A = M^-1 Y` and a cotangent `Ab` of A, `dL/dY = W = M^-1 Ab` and
`dL/dM = -W A^T`.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import chex
import jax
import jax.numpy as jnp
from jax import lax

from jaxdd.base import Array
from jaxdd.errors import InputError, one_of
from jaxdd.kernels.precision import dot, promote, residual

__all__ = [
    "FREPO",
    "KIP",
    "KRR_ST",
    "RCIG",
    "RFAD",
    "Ridge",
    "Scale",
    "SolveInfo",
    "fit",
    "fit_features",
    "predict",
]

Scale = Literal["none", "rows", "trace", "mean_trace"]

# Retries stop at this multiple of the mean eigenvalue: there float32 factors even
# supports with repeated rows or more rows than features.
_LARGEST_RETRY = 1e-3


@dataclasses.dataclass(frozen=True)
class Ridge:
    """How strongly `K [m,m]` is regularised: `lam = value * scale(K)`.

    Attributes:
      value: above 0.
      scale: none (absolute), rows (m), trace (tr K) or mean_trace (tr K / m).
      stop_gradient: treat lam as a constant when differentiating.

    Raises:
      InputError: `value` is not above 0 and finite, or `scale` is unknown.
    """

    value: float
    scale: Scale = "mean_trace"
    stop_gradient: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.value < math.inf:
            raise InputError(
                f"ridge is {self.value}; it must be a finite number above 0, such as "
                "1e-6 (relative to the trace of the kernel) or larger"
            )
        one_of("ridge.scale", self.scale, get_args(Scale))

    def strength(self, trace: Array, rows: int) -> Array:
        """lam [] for a kernel of this trace and number of rows."""
        scale = {"none": 1.0, "rows": rows, "trace": trace, "mean_trace": trace / rows}
        lam = jnp.asarray(self.value * scale[self.scale], trace.dtype)
        return lax.stop_gradient(lam) if self.stop_gradient else lam


KRR_ST = Ridge(1e-6, "trace", stop_gradient=True)
"""Lee et al., ICLR 2024: not divided by m, and detached."""
KIP = Ridge(1e-6, "mean_trace")
"""Nguyen et al., ICLR 2021."""
FREPO = KIP
"""Zhou et al., NeurIPS 2022: KIP's."""
RFAD = Ridge(5e-3, "mean_trace")
"""Loo et al., NeurIPS 2022."""
RCIG = Ridge(5e-4, "rows")
"""Loo et al., ICML 2023: absolute, in proportion to m."""


class SolveInfo(NamedTuple):
    """What a solve reports, detached; every field has shape []."""

    ridge: Array
    """lam as used, retries included; 0 for a kernel that is zero."""
    retries: Array
    """int32: how often lam was raised tenfold because the factorisation failed."""
    condition: Array
    """(largest / smallest diagonal entry of the Cholesky factor)^2 of K + lam I: a
    lower bound of its condition number that costs nothing."""
    ok: Array
    """bool: the factor is finite. False only where no retry helped (NaN input)."""


def fit(
    k_ss: Array, y_s: Array, ridge: Ridge, *, refine: int = 1
) -> tuple[Array, SolveInfo]:
    """Dual coefficients `(K + lam I)^-1 Y`; 0 for a kernel that is zero.

    Differentiable in forward and reverse mode, any order. Where float32 cannot factor
    K + lam I, lam is raised tenfold (outside differentiation), up to 1e-3 of the mean
    eigenvalue. Costs m^3/3 + 2 m^2 k, twice the second term for the gradient.

    Args:
      k_ss: symmetric positive semi-definite kernel [m,m].
      y_s: targets [m,k].
      ridge: the regularisation.
      refine: steps of iterative refinement, each with a float64 residual of cost
        2 m^2 k; in float32 one step takes the error of A from about 1e-3 to 1e-6.

    Returns:
      coefficients [m,k] and the report.
    """
    k_ss, y_s = promote(k_ss, y_s)
    chex.assert_rank([k_ss, y_s], 2)
    chex.assert_equal_shape_prefix([k_ss, y_s], 1)
    # The two halves of a kernel that is no product of features differ by rounding.
    k_ss = (k_ss + k_ss.T) / 2
    return _solve(k_ss, y_s, jnp.trace(k_ss), y_s.shape[0], ridge, refine)


def fit_features(
    f_s: Array, y_s: Array, ridge: Ridge, *, refine: int = 1
) -> tuple[Callable[[Array], Array], SolveInfo]:
    """Ridge regression with the linear kernel of features [m,d], by the cheaper form.

    Dual (m x m) where m < d, otherwise primal (d x d), with the same lam and hence
    the same predictions. Costs m^2 d + m^3/3, or m d^2 + d^3/3.

    Args:
      f_s: features [m,d].
      y_s: targets [m,k].
      ridge: the regularisation, in terms of K = F F^T in both forms.
      refine: see `fit`.

    Returns:
      a function from features [n,d] to predictions [n,k], and the report.
    """
    f_s, y_s = promote(f_s, y_s)
    rows, dim = f_s.shape
    if rows < dim:
        gram = dot(f_s, f_s.T)
        alpha, info = _solve(gram, y_s, jnp.trace(gram), rows, ridge, refine)
        return lambda f_t: predict(dot(f_t, f_s.T), alpha), info
    trace = jnp.sum(jnp.square(f_s))
    right = dot(f_s.T, y_s)
    weight, info = _solve(dot(f_s.T, f_s), right, trace, rows, ridge, refine)
    return lambda f_t: dot(f_t, weight), info


def predict(k_ts: Array, alpha: Array) -> Array:
    """Predictions [n,k] from a kernel block [n,m] and dual coefficients [m,k]."""
    return dot(k_ts, alpha)


def _solve(
    gram: Array, right: Array, trace: Array, rows: int, ridge: Ridge, refine: int
) -> tuple[Array, SolveInfo]:
    """(gram + lam I)^-1 right, where `trace` and `rows` are those of the kernel."""
    lam = ridge.strength(trace, rows)
    # A zero kernel has lam = 0: solve the identity for a zero right-hand side.
    empty = lam <= 0
    lam = jnp.where(empty, 1, lam)
    right = jnp.where(empty, 0, right)
    largest = _LARGEST_RETRY * trace / rows
    factor, used, retries, ok = _factorise(*lax.stop_gradient((gram, lam, largest)))
    matrix = _shifted(gram, lam + lax.stop_gradient(used - lam))
    answer = lax.custom_linear_solve(
        lambda value: dot(matrix, value),
        right,
        lambda _, value: _refined(factor, lax.stop_gradient(matrix), value, refine),
        symmetric=True,
    )
    diagonal = jnp.diagonal(factor)
    condition = jnp.square(diagonal.max() / diagonal.min())
    return answer, SolveInfo(jnp.where(empty, 0, used), retries, condition, ok)


def _factorise(
    gram: Array, lam: Array, largest: Array
) -> tuple[Array, Array, Array, Array]:
    """Lower Cholesky factor, lam as used, number of retries, success.

    The first attempt is made inside the loop too, so that a program holds one
    factorisation.
    """

    def attempt(carry: tuple) -> tuple[Array, Array, Array, Array]:
        _, shift, tries, _ = carry
        shift = jnp.where(tries == 0, lam, jnp.minimum(10 * shift, largest))
        factor = lax.linalg.cholesky(_shifted(gram, shift), symmetrize_input=False)
        return factor, shift, tries + 1, jnp.isfinite(factor).all()

    def unfinished(carry: tuple) -> Array:
        _, shift, tries, ok = carry
        return (tries == 0) | (~ok & (shift < largest))

    start = (jnp.zeros_like(gram), lam, jnp.int32(0), jnp.asarray(False))
    factor, shift, tries, ok = lax.while_loop(unfinished, attempt, start)
    return factor, shift, tries - 1, ok


def _refined(factor: Array, matrix: Array, right: Array, steps: int) -> Array:
    """matrix^-1 right by the factor and steps of iterative refinement."""
    answer = jax.scipy.linalg.cho_solve((factor, True), right)
    if matrix.dtype == jnp.float64:  # no wider residual to refine with
        return answer
    for _ in range(steps):
        error = residual(matrix, answer, right)
        answer = answer + jax.scipy.linalg.cho_solve((factor, True), error)
    return answer


def _shifted(gram: Array, shift: Array) -> Array:
    """gram + shift I."""
    return gram + shift * jnp.eye(gram.shape[0], dtype=gram.dtype)
