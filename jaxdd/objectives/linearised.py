"""A network linearised around its weights, under a head that regression solves for.

The inner problem of RCIG: logits J dw move linearly with the change dw of the weights,
and the last layer is the kernel ridge regression of what they leave of the targets. It
is quadratic in dw, so its gradient and Hessian products are written out.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.scipy.sparse.linalg import cg

from jaxdd.base import Array, Network, PyTree, Variables
from jaxdd.errors import InputError
from jaxdd.kernels.feature import chunked
from jaxdd.kernels.precision import dot
from jaxdd.kernels.ridge import Ridge, fit
from jaxdd.unroll.inner import Adam
from jaxdd.unroll.problem import Carry

__all__ = [
    "Body",
    "InnerProblem",
    "Solver",
    "body_of",
    "inner_problem",
    "minimise",
    "solve",
    "tangents",
    "trend",
]

LastLayer = Literal["exact", "as_released"]


class Solver(NamedTuple):
    """How the quadratic problems are solved, both from zero."""

    name: Literal["adam", "cg"] = "adam"
    steps: int = 20
    """Steps in the inner problem; for cg, at most."""
    system_steps: int = 20
    """Steps in the system with its Hessian."""


class Body(NamedTuple):
    """A network as a function of one vector of its weights."""

    start: Array  # [p], where it is linearised
    apply: Callable[[Array, Array], tuple[Array, Array]]
    """(weights [p], image [n,h,w,c]) -> logits [n,k], features [n,d]."""
    moved: np.ndarray  # [p], 1 for the weights that dw has, 0 for the others
    drifts: np.ndarray | None = None
    """[p], 1 for those of the last layer, which follow their gradient upwards."""


class InnerProblem(NamedTuple):
    """L(dw) = c (tr((Y - J dw)^T M (Y - J dw)) + |dw|^2) / 2, M = (F F^T + lam I)^-1.

    c = lam / (m k). It is the least value over the last layer A of
    (|Y - J dw - F A|^2 + lam |A|^2 + lam |dw|^2) / (2 m k).
    """

    body: Body
    target: Array  # [m,k], Y
    inverse: Array  # [m,m], M
    push: Callable[[Array], Array]  # dw [p] -> J dw [m,k]
    pull: Callable[[Array], Array]  # [m,k] -> [p], its transpose
    factor: Array  # [], c

    def value(self, change: Array) -> Array:
        """L(dw)."""
        rest = self.target - self.push(change)
        fitted = jnp.sum(rest * dot(self.inverse, rest))
        return self.factor * (fitted + jnp.sum(change**2)) / 2

    def gradient(self, change: Array) -> Array:
        """The gradient of L by dw [p]."""
        rest = self.target - self.push(change)
        slope = change - self.pull(dot(self.inverse, rest))
        return self.factor * self.body.moved * slope

    def product(self, vector: Array) -> Array:
        """The Hessian of L times a vector [p]."""
        curved = self.pull(dot(self.inverse, self.push(vector)))
        return self.factor * self.body.moved * (vector + curved)


def body_of(
    network: Network, variables: Variables, last_layer: LastLayer = "exact"
) -> Body:
    """The network as a function of a vector, in evaluation mode.

    Args:
      network: its last layer is called `head`, and it allows forward mode.
      variables: where it is linearised.
      last_layer: `exact`: dw has no change of the last layer's kernel, for which the
        regression solves; `as_released`: it has one, which the inner steps move by plus
        its gradient, as the optimiser of the authors' code does.

    Raises:
      InputError: the network has no layer of that name.
    """
    start, restore = ravel_pytree(variables.params)

    def apply(weights: Array, image: Array) -> tuple[Array, Array]:
        given = Variables(restore(weights), variables.stats)
        output, _ = network.apply(given, image)
        wide = lambda value: value.astype(jnp.promote_types(value.dtype, jnp.float32))
        return wide(output.logits), wide(output.features)

    kernel = _last_kernel(variables.params, network.name).astype(start.dtype)
    if last_layer == "as_released":
        return Body(start, apply, np.ones_like(kernel), kernel)
    return Body(start, apply, 1 - kernel)


def _last_kernel(params: PyTree, name: str) -> np.ndarray:
    """1 for the weights [p] of the last layer's kernel; static."""
    if "head" not in params:
        raise InputError(f"network {name!r} has no layer 'head' to solve for")
    marks = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        names = [getattr(entry, "key", None) for entry in path]
        marks.append(np.full(leaf.size, names[-2:] == ["head", "kernel"]))
    return np.concatenate(marks)


def tangents(
    body: Body, image: Array, changes: tuple[Array, ...], chunk: int | None = None
) -> tuple[Array, list[Array]]:
    """Features [n,d] and, for each change [p], how it moves the logits to first order.

    Args:
      body: the network.
      image: [n,h,w,c].
      changes: directions.
      chunk: at most this many images at a time; None = all.
    """

    def embed(rows: Array) -> Array:
        at = lambda weights: body.apply(weights, rows)
        pairs = [jax.jvp(at, (body.start,), (change,)) for change in changes]
        return jnp.concatenate([pairs[0][0][1], *(out[0] for _, out in pairs)], axis=1)

    whole = chunked(embed, image, chunk)
    logits = jax.eval_shape(body.apply, body.start, image)[0].shape[1]
    width = whole.shape[1] - logits * len(changes)
    split = [whole[:, width + logits * j :][:, :logits] for j in range(len(changes))]
    return whole[:, :width], split


def inner_problem(
    body: Body, image: Array, target: Array, ridge: Ridge, refine: int = 1
) -> InnerProblem:
    """The inner problem of a set of images [m,h,w,c] and targets [m,k]; constant."""
    image, target = lax.stop_gradient((image, target))
    (_, features), push = jax.linearize(lambda w: body.apply(w, image), body.start)
    move = lambda change: push(change)[0]
    back = jax.linear_transpose(move, body.start)
    gram = dot(features, features.T)
    unit = jnp.eye(len(gram), dtype=gram.dtype)
    inverse, info = fit(gram, unit, ridge, refine=refine)
    factor = info.ridge / target.size
    return InnerProblem(body, target, inverse, move, lambda v: back(v)[0], factor)


def minimise(
    problem: InnerProblem, solver: Solver, rate: Array | float
) -> tuple[Array, Array]:
    """dw [p] from zero, and L before each step [steps] (zeros for cg)."""
    zero = jnp.zeros_like(problem.body.start)
    if solver.name == "cg":
        right = -problem.gradient(zero)
        return _conjugate(problem, right, solver.steps), jnp.zeros(solver.steps)
    adam, drifts = Adam(), problem.body.drifts

    def step(carry: Carry, _: None) -> tuple[Carry, Array]:
        slope = problem.gradient(carry.params)
        after = adam.update(slope, carry, jnp.asarray(rate))
        if drifts is not None:
            drifted = carry.params + slope
            after = after._replace(params=jnp.where(drifts > 0, drifted, after.params))
        return after, problem.value(carry.params)

    start = Carry(zero, adam.init(zero))
    end, values = lax.scan(step, start, length=solver.steps)
    return end.params, values


def solve(
    problem: InnerProblem, right: Array, solver: Solver, rate: Array | float
) -> tuple[Array, Array]:
    """H^-1 right [p], and x^T H x - 2 x^T right before each step (zeros for cg).

    By steps of Adam on x^T H x / 2 - x^T right from x = 0, or by conjugate gradients.
    """
    right = right * problem.body.moved
    if solver.name == "cg":
        steps = solver.system_steps
        return _conjugate(problem, right, steps), jnp.zeros(steps)
    adam, zero = Adam(), jnp.zeros_like(right)

    def step(carry: Carry, _: None) -> tuple[Carry, Array]:
        image = problem.product(carry.params)
        value = jnp.sum(carry.params * (image - 2 * right))
        return adam.update(image - right, carry, jnp.asarray(rate)), value

    start = Carry(zero, adam.init(zero))
    end, values = lax.scan(step, start, length=solver.system_steps)
    return end.params, values


def _conjugate(problem: InnerProblem, right: Array, steps: int) -> Array:
    # Divided by c, the Hessian is I + J^T M J: a matrix of moderate size.
    scaled = lambda vector: problem.product(vector) / problem.factor
    tolerance = float(jnp.finfo(right.dtype).eps)
    return cg(scaled, right / problem.factor, tol=tolerance, maxiter=steps)[0]


def trend(values: Array) -> Array:
    """1 where the values fell at every step, -1 where the last exceeds the first, or 0.

    int32 []. Rates are raised and lowered by it (Loo et al., ICML 2023, their code).
    """
    falls = jnp.all(values[:-1] > values[1:])
    rises = values[-1] > values[0]
    return jnp.where(falls, 1, jnp.where(rises, -1, 0)).astype(jnp.int32)
