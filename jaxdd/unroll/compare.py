"""Adjoints side by side: how far from the exact gradient, at what cost.

Everything is compiled, run and measured here, so it belongs into notebooks and
benchmarks, not into a method.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxdd.base import Array, Key, PyTree
from jaxdd.errors import InputError
from jaxdd.unroll.adjoints import Adjoint, Backprop
from jaxdd.unroll.problem import InnerProblem
from jaxdd.unroll.solve import solve
from jaxdd.unroll.splitting import join, split

__all__ = ["Comparison", "Estimator", "Row", "compare_adjoints"]

Estimator = Callable[[PyTree, Any, PyTree, Key], tuple[Array, PyTree]]
"""(theta, carry, xs, key) -> value and gradient, for what is not an adjoint: a window
drawn from the key, evolution strategies."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One adjoint against the exact gradient."""

    adjoint: str
    cosine: float
    """Of its gradient and the exact one, the mean over keys."""
    bias: float
    """Norm of the mean difference, over the norm of the mean exact gradient."""
    variance: float
    """Mean squared distance from its mean over keys, over the squared norm of the mean
    exact gradient; NaN without keys."""
    bytes: int
    """Temporary memory of the compiled program."""
    flops: float
    """The compiler's count, which takes the body of a loop once: so of one step,
    forwards and backwards, with the outer loss; of Implicit, one product."""
    seconds: float
    """Of one gradient, the best of the repeats."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The rows of `compare_adjoints`, in the order given; prints as a table."""

    exact: str
    rows: tuple[Row, ...]

    def __getitem__(self, adjoint: str) -> Row:
        """The row of that name."""
        return next(row for row in self.rows if row.adjoint == adjoint)

    def __str__(self) -> str:
        names = ("adjoint", "cosine", "bias", "variance", "MB", "MFLOP a step", "ms")
        lines = [names, *map(_cells, self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        table = [
            "  ".join(
                [line[0].ljust(widths[0])]
                + [c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True)]
            )
            for line in lines
        ]
        return "\n".join([*table, f"against {self.exact}"])


def _cells(row: Row) -> tuple[str, ...]:
    variance = "" if math.isnan(row.variance) else f"{row.variance:.2g}"
    cost = (
        f"{row.bytes / 1e6:.3g}",
        f"{row.flops / 1e6:.4g}",
        f"{1e3 * row.seconds:.3g}",
    )
    return (row.adjoint, f"{row.cosine:.4f}", f"{row.bias:.2g}", variance, *cost)


class _Program(NamedTuple):
    """A compiled gradient."""

    run: Any  # (theta, carry, xs, key) -> flat gradient
    bytes: int
    flops: float


def compare_adjoints(
    problem: InnerProblem,
    outer: Callable[[PyTree, Any], Array],
    theta: PyTree,
    carry: Any,
    xs: PyTree,
    adjoints: Mapping[str, Adjoint | Estimator],
    *,
    keys: Key | None = None,
    exact: Adjoint = Backprop(),
    repeats: int = 3,
) -> Comparison:
    """Measures the gradients of one outer loss by several adjoints.

    Args:
      problem: the inner one, as for `solve`.
      outer: (theta, last carry) -> [], the outer loss.
      theta: what the gradient is taken by. carry: the first. xs: leading axis T.
      adjoints: by name; or functions (theta, carry, xs, key) -> (value, gradient).
      keys: [K]; then xs is a function of a key, and carry may be one. Without them
        estimators get one fixed key.
      exact: the reference.
      repeats: timed runs of each, in turns.

    Raises:
      InputError: without adjoints, or for an adjoint that the problem does not allow.
    """
    if not adjoints:
        raise InputError("adjoints: none given; name one or more to compare")
    several = keys is not None
    given = _inputs(theta, carry, xs, keys if keys is not None else _one_key())
    programs = {
        name: _compiled(_flat_gradient(problem, outer, adjoint), given[0])
        for name, adjoint in adjoints.items()
    }
    reference = _compiled(_flat_gradient(problem, outer, exact), given[0])
    right = _gradients(reference, given)
    found = {name: _gradients(program, given) for name, program in programs.items()}
    seconds = _timed(programs, given[0], repeats)
    rows = tuple(
        _row(name, found[name], right, several, program, seconds[name])
        for name, program in programs.items()
    )
    return Comparison(repr(exact), rows)


def _one_key() -> Key:
    return jax.random.split(jax.random.key(0), 1)


def _inputs(theta: PyTree, carry: Any, xs: Any, keys: Key) -> list[tuple]:
    """What each program is called with, once for every key."""
    drawn = lambda thing, key: thing(key) if callable(thing) else thing
    arrays = lambda tree: jax.tree.map(jnp.asarray, tree)
    return [
        (arrays(theta), arrays(drawn(carry, key)), arrays(drawn(xs, key)), key)
        for key in keys
    ]


def _flat_gradient(
    problem: InnerProblem, outer: Callable, adjoint: Adjoint | Estimator
) -> Callable[..., Array]:
    """(theta, carry, xs, key) -> gradient by all floating leaves of theta [d]."""
    if callable(adjoint):
        return lambda *given: ravel_pytree(split(adjoint(*given)[1])[0])[0]

    def gradient(theta: PyTree, carry: Any, xs: PyTree, key: Key) -> Array:
        floats, others = split(theta)

        def loss(floats: PyTree) -> Array:
            theta = join(floats, others)
            return outer(theta, solve(problem, theta, carry, xs, adjoint=adjoint))

        return ravel_pytree(jax.grad(loss)(floats))[0]

    return gradient


def _compiled(gradient: Callable, given: tuple) -> _Program:
    program: Any = jax.jit(gradient).lower(*given).compile()
    analysis, counted = program.memory_analysis(), program.cost_analysis()
    return _Program(
        program, analysis.temp_size_in_bytes, counted.get("flops", math.nan)
    )


def _gradients(program: _Program, given: list[tuple]) -> np.ndarray:
    """Of every key, float64 [K,d]."""
    return np.stack([np.asarray(program.run(*one), np.float64) for one in given])


def _timed(
    programs: Mapping[str, _Program], given: tuple, repeats: int
) -> dict[str, float]:
    """The best seconds of each, measured in turns."""
    best = dict.fromkeys(programs, math.inf)
    for _ in range(repeats):
        for name, program in programs.items():
            began = time.perf_counter()
            jax.block_until_ready(program.run(*given))
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def _row(
    name: str,
    found: np.ndarray,
    right: np.ndarray,
    several: bool,
    program: _Program,
    seconds: float,
) -> Row:
    """Compares gradients [K,d]."""
    norm = np.linalg.norm
    scale = norm(right.mean(0))
    products = (found * right).sum(1)
    cosine = products / (norm(found, axis=1) * norm(right, axis=1))
    bias = norm((found - right).mean(0)) / scale
    variance = (norm(found - found.mean(0)[None], axis=1) ** 2).mean() / scale**2
    return Row(
        name,
        float(cosine.mean()),
        float(bias),
        float(variance) if several else math.nan,
        program.bytes,
        program.flops,
        seconds,
    )
