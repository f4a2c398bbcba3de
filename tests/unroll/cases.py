"""Inner problems small enough to know everything about."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxdd.unroll import InnerProblem, initial_carry, inner, solve

STEPS = 3


class Case(NamedTuple):
    """theta is {image [n,d], log_rate [], label int [n]}; xs has `STEPS` entries."""

    loss: Callable
    theta: dict
    params: dict
    xs: jax.Array


def classifier(random: bool = False) -> Case:
    """A network of two layers with a dead unit, on images with noise; smooth otherwise.

    The noise is a wave, or drawn with a key for each step, which compiles for longer.
    """
    draws = np.random.default_rng(1)
    n, d, h, k = 6, 5, 4, 3
    dtype = jnp.zeros(()).dtype
    theta = {
        "image": draws.standard_normal((n, d)).astype(dtype),
        "log_rate": np.log(np.asarray(0.2, dtype)),
        "label": np.arange(n) % k,
    }
    first = draws.standard_normal((d, h)).astype(dtype)
    last = draws.standard_normal((h, k)).astype(dtype)
    first[:, 0], last[0] = 0.0, 0.0
    params = {"first": first, "last": last, "unused": np.zeros(2, dtype)}

    def noise(x: jax.Array, shape: tuple, dtype: Any) -> jax.Array:
        if random:
            return jax.random.normal(x, shape, dtype)
        return jnp.cos(jnp.arange(n * d, dtype=dtype) + x).reshape(shape)

    def loss(theta: dict, params: dict, x: jax.Array) -> jax.Array:
        image = theta["image"]
        image = image + 0.1 * noise(x, image.shape, image.dtype)
        logits = jnp.tanh(image @ params["first"]) @ params["last"]
        chosen = jnp.take_along_axis(
            jax.nn.log_softmax(logits), theta["label"][:, None], 1
        )
        return -chosen.mean() + 0.0 * params["unused"].sum()

    xs = jax.random.split(jax.random.key(2), STEPS) if random else np.arange(STEPS)
    return Case(loss, theta, params, xs)


def rate(theta: dict, x: Any) -> jax.Array:
    """exp(log_rate)."""
    return inner.learned_rate(lambda theta, x: theta["log_rate"])(theta, x)


def end_loss(params: Any) -> jax.Array:
    """An outer loss that weighs all parameters differently."""
    flat = ravel_pytree(params)[0]
    return jnp.sum(jnp.sin(flat + jnp.arange(flat.size)))


def outer(case: Case, optimiser: Any, **options: Any) -> Callable:
    """The outer loss of (image, log_rate, first parameters)."""
    problem = inner.problem(case.loss, optimiser, rate)

    def of(image: jax.Array, log_rate: jax.Array, params: Any) -> jax.Array:
        theta = {**case.theta, "image": image, "log_rate": log_rate}
        carry = initial_carry(optimiser, params)
        end = solve(problem, theta, carry, case.xs, **options)
        return end_loss(end.params)

    return of


def point(case: Case) -> tuple:
    """Where the outer loss of a case is differentiated."""
    return case.theta["image"], case.theta["log_rate"], case.params


def gradients(functions: dict[Any, Callable], *given: Any) -> dict[Any, Any]:
    """Of several functions by all arguments, compiled at once."""
    which = tuple(range(len(given)))
    compiled = jax.jit(
        lambda *given: [jax.grad(f, which)(*given) for f in functions.values()]
    )
    return dict(zip(functions, compiled(*given), strict=True))


def gradient(function: Callable, *given: Any) -> Any:
    """Compiled, by all arguments."""
    return gradients({"": function}, *given)[""]


def distance(first: Any, second: Any) -> float:
    """Relative, of two trees."""
    one, two = (
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])
        for tree in (first, second)
    )
    return float(np.linalg.norm(one - two) / np.linalg.norm(two))


class Quadratic(NamedTuple):
    """loss = (p - A theta)^T Q (p - A theta) / 2, whose optimum is A theta."""

    problem: InnerProblem
    q: np.ndarray
    a: np.ndarray
    theta: np.ndarray
    params: np.ndarray
    weights: np.ndarray  # the outer loss is weights @ p


def quadratic(rate: Any = 0.3, optimiser: Any = None, size: int = 4) -> Quadratic:
    """Eigenvalues of Q between 1/2 and 2."""
    random = np.random.default_rng(3)
    basis, _ = np.linalg.qr(random.standard_normal((size, size)))
    q = basis @ np.diag(np.linspace(0.5, 2.0, size)) @ basis.T
    a, theta, params, weights = (
        random.standard_normal(shape) for shape in ((size, 3), 3, size, size)
    )

    def loss(theta: Any, params: jax.Array, x: Any) -> jax.Array:
        error = params - a @ (theta["image"] if isinstance(theta, dict) else theta)
        return error @ q @ error / 2

    problem = inner.problem(loss, optimiser or inner.SGD(), rate)
    return Quadratic(problem, q, a, theta, params, weights)
