"""Steps towards flat minima: GSAM, adaptive, as the experts of FTD are trained."""

from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxdd.base import Array, PyTree
from jaxdd.training import Direction, Gradient

__all__ = ["gsam"]

_FLOOR = 1e-12  # added to norms that are divided by, as the authors' program does


@lru_cache
def gsam(radius: float, alpha: float) -> Direction:
    """The gradient at the worst weights nearby, less what the loss here does not share.

    With g the gradient at w, e = radius w^2 g / || |w| g || and p the gradient at w + e
    on the same batch, it is p - alpha (g - cos(g, p) |g| p / |p|).

    Kwon et al., "ASAM" (ICML 2021), for e; Zhuang et al., "Surrogate gap minimization
    improves sharpness-aware training" (ICLR 2022), for the decomposition; together as
    in "Minimizing the Accumulated Trajectory Error to Improve Dataset Distillation"
    (Du et al., CVPR 2023). Two gradients a step.

    Args:
      radius: norm of the move relative to each weight, |e / w| (rho).
      alpha: weight of the orthogonal part.

    Returns:
      For `jaxdd.training.trainer`; loss, statistics and metrics are those at w.
    """

    def direction(gradient: Gradient, params: PyTree) -> tuple[Any, PyTree]:
        result, here = gradient(params)
        slope = jax.tree.map(lambda w, g: jnp.abs(w) * g, params, here)
        scale = radius / (_norm(slope) + _FLOOR)
        moved = jax.tree.map(lambda w, g: w + scale * w**2 * g, params, here)
        _, there = gradient(moved)
        return result, jax.tree.map(partial(_step, alpha), there, _across(here, there))

    return direction


def _step(alpha: float, there: Array, across: Array) -> Array:
    return there - alpha * across


def _across(here: PyTree, there: PyTree) -> PyTree:
    """The part of the first gradient that is orthogonal to the second."""
    size, other = _norm(here), _norm(there)
    cosine = _inner(here, there) / (size * other + _FLOOR)
    share = cosine * size / (other + _FLOOR)
    return jax.tree.map(lambda g, p: g - share * p, here, there)


def _inner(one: PyTree, other: PyTree) -> Array:
    products = jax.tree.map(lambda a, b: jnp.sum(a * b), one, other)
    return jnp.sum(jnp.stack(jax.tree.leaves(products)))


def _norm(tree: PyTree) -> Array:
    return jnp.sqrt(_inner(tree, tree))
