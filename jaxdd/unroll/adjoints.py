"""How an unrolled inner problem is differentiated: settings of `unroll.solve`.

Backprop and Forward give the same, exact gradient. Separable and Implicit are other
algorithms with gradients of their own: each says what it leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from jaxdd.errors import InputError, one_of
from jaxdd.records import AdjointSpec

__all__ = ["Adjoint", "Backprop", "Forward", "Implicit", "Separable", "named"]


@dataclass(frozen=True)
class Backprop:
    """Reverse mode through all steps of the window: exact.

    The memory for T steps, with c the bytes of a carry and a those that one step keeps
    for its derivative: none T (c + a), step T c + a, nested 2 sqrt(T) c + a.

    `step="fused"` (SGD) and `step="mixed"` (any optimiser of `unroll.inner`) go back
    through a step by one forward derivative of its gradient, since the Hessian is
    symmetric (Kemaev et al., ICML 2025, arXiv 2505.00793): they keep no more than the
    carries, 4 bytes for each parameter and step with SGD, 8 with momentum, 12 with
    Adam. The network must allow forward mode.
    """

    remat: Literal["none", "step", "nested"] = "step"
    """What is computed again on the way back: nothing, each step, or blocks of steps
    and then each step. A fused or mixed step has no need of "step"."""
    inner: int | None = None
    """nested: steps in a block; default: about the root of their number."""
    step: Literal["plain", "fused", "mixed"] = "plain"
    """plain: by `InnerProblem.step`, whatever it is."""

    def __post_init__(self) -> None:
        one_of("remat", self.remat, ("none", "step", "nested"))
        one_of("step", self.step, ("plain", "fused", "mixed"))
        if self.inner is not None and self.inner < 1:
            raise InputError(f"inner={self.inner} must be at least 1, or None")
        if self.inner is not None and self.remat != "nested":
            raise InputError(f'inner={self.inner} needs remat="nested"')


@dataclass(frozen=True)
class Separable:
    """Each step's own contribution, at the end's adjoint: biased beyond one step.

    TESLA (Cui et al., ICML 2023, arXiv 2211.10586): the factors I - rate H of the later
    steps count as I, so what a step changes in the gradients of later ones is left out.
    The error of step t is O(rate |H| (T-1-t)). SGD without momentum only. The memory of
    one step, whatever their number: the trajectory is run once more.
    """


@dataclass(frozen=True)
class Implicit:
    """The gradient of a stationary point, by the implicit function theorem.

    -M^T (H + damping I)^-1 lambda at the last parameters, with the last x and without
    regard to how they were reached; exact only where the inner gradient is zero. The
    memory of one step. It needs `InnerProblem.gradient`. Of the carry's state only the
    parameters count, and the start has no derivative.
    """

    solver: Literal["cg", "neumann"] = "cg"
    """cg: conjugate gradients, for a symmetric positive definite H, so only with
    `InnerProblem.loss`. neumann: rate sum_k (I - rate H)^k, for any, if it converges:
    at a stationary point the last `terms` steps of Backprop."""
    terms: int = 20
    """Products with H."""
    damping: float = 0.0
    """Added to the diagonal of H."""

    def __post_init__(self) -> None:
        one_of("solver", self.solver, ("cg", "neumann"))
        if self.terms < 1:
            raise InputError(f"terms={self.terms} must be at least 1")
        if self.damping < 0:
            raise InputError(f"damping={self.damping} must not be negative")


@dataclass(frozen=True)
class Forward:
    """Forward mode, one pass for each number of theta: exact.

    Memory of theta's size times one carry, whatever the number of steps; for a handful
    of rates and strengths. Theta alone is differentiated, not the start.
    """

    limit: int = 64
    """Refused for more numbers than this."""


Adjoint = Backprop | Separable | Implicit | Forward


def named(spec: AdjointSpec) -> Adjoint:
    """The adjoint that a configuration names.

    Raises:
      InputError: for an unknown name, or a setting that the adjoint refuses.
    """
    nested: dict[str, Any] = {}
    if spec.inner:
        nested = {"remat": "nested", "inner": spec.inner}
    makers = {
        "none": lambda: Backprop("none"),
        "step": lambda: Backprop("step"),
        "nested": lambda: Backprop("nested", spec.inner or None),
        "fused": lambda: Backprop(step="fused", **nested),
        "mixed": lambda: Backprop(step="mixed", **nested),
        "separable": Separable,
        "implicit_cg": lambda: Implicit("cg", spec.terms, spec.damping),
        "implicit_neumann": lambda: Implicit("neumann", spec.terms, spec.damping),
        "forward": Forward,
    }
    one_of("adjoint.name", spec.name, tuple(makers))
    return makers[spec.name]()
