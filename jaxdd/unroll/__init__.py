"""Inner optimisations as differentiable functions, by any of several adjoints.

problem = inner.problem(loss, inner.SGD(), rate=0.1)
carry = inner.initial_carry(inner.SGD(), params)
end = solve(problem, theta, carry, xs, adjoint=Backprop())
"""

from jaxdd.unroll import evolution, inner
from jaxdd.unroll.adjoints import (
    Adjoint,
    Backprop,
    Forward,
    Implicit,
    Separable,
    named,
)
from jaxdd.unroll.compare import Comparison, compare_adjoints
from jaxdd.unroll.implicit import asymmetry
from jaxdd.unroll.inner import SGD, Adam, initial_carry, learned_rate
from jaxdd.unroll.memory import Memory, estimate_memory, measure_memory
from jaxdd.unroll.portioned import in_portions
from jaxdd.unroll.problem import Carry, InnerOptimiser, InnerProblem
from jaxdd.unroll.solve import solve

__all__ = [
    "SGD",
    "Adam",
    "Adjoint",
    "Backprop",
    "Carry",
    "Comparison",
    "Forward",
    "Implicit",
    "InnerOptimiser",
    "InnerProblem",
    "Memory",
    "Separable",
    "asymmetry",
    "compare_adjoints",
    "estimate_memory",
    "evolution",
    "in_portions",
    "initial_carry",
    "inner",
    "learned_rate",
    "measure_memory",
    "named",
    "solve",
]
