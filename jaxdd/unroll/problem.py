"""What is unrolled: one step of an inner optimisation, and what is known about it."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from jaxdd.base import Array, PyTree

__all__ = ["Carry", "InnerOptimiser", "InnerProblem"]

Theta = PyTree
Params = PyTree
X = PyTree


class Carry(NamedTuple):
    """What `inner.problem` carries from step to step."""

    params: Params
    opt: PyTree = ()


class InnerOptimiser(Protocol):
    """The algebra of an optimiser (`unroll.inner`): pure, elementwise, no gradients."""

    def init(self, params: Params) -> PyTree:
        """The state before the first step."""
        ...

    def update(self, gradient: Params, carry: Carry, rate: Array) -> Carry:
        """One step along `gradient`."""
        ...


class InnerProblem(NamedTuple):
    """An inner optimisation as pure functions; only `step` is always needed.

    theta is what the outer gradient is taken by, any pytree; x is what differs between
    steps (rows, keys, a counter) and never differentiated. The functions may close over
    arrays: these are differentiated as theta is.

    Attributes:
      step: (theta, carry, x) -> carry, one step of the inner optimiser.
      gradient: (theta, params, x) -> params, what the optimiser follows.
      optimiser: what `step` does with the gradient.
      loss: (theta, params, x) -> [], of which `gradient` is the derivative by params;
        its Jacobian by params is then symmetric.
      rate: (theta, x) -> [], the rate of a step.
      recomputes: the step computes itself again on the way back, and needs no
        checkpoint around it.

    `inner.problem` fills in all of them. Carries of problems with an optimiser are
    `Carry(params, opt)`.
    """

    step: Callable[[Theta, Any, X], Any]
    gradient: Callable[[Theta, Params, X], Params] | None = None
    optimiser: InnerOptimiser | None = None
    loss: Callable[[Theta, Params, X], Array] | None = None
    rate: Callable[[Theta, X], Array] | None = None
    recomputes: bool = False
