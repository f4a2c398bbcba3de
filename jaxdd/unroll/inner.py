"""Inner optimisers whose steps can be differentiated, and problems made of a loss.

Only algebra on pytrees of parameters; one flat vector is the fastest of them on CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdd.base import Array, PyTree
from jaxdd.errors import InputError
from jaxdd.unroll.problem import Carry, InnerOptimiser, InnerProblem

__all__ = ["SGD", "Adam", "AdamState", "initial_carry", "learned_rate", "problem"]

Rate = Callable[[Any, Any], Array]


@dataclass(frozen=True)
class SGD:
    """Gradient descent as PyTorch has it: v' = mu v + g + wd p, p' = p - rate v'.

    The state is v, and () without momentum.
    """

    momentum: float = 0.0
    """mu, in [0, 1)."""
    weight_decay: float = 0.0
    """wd, coupled: part of the gradient."""

    def __post_init__(self) -> None:
        _require("momentum", self.momentum, 0.0 <= self.momentum < 1.0, "in [0, 1)")
        _require("weight_decay", self.weight_decay, self.weight_decay >= 0.0, ">= 0")

    def init(self, params: PyTree) -> PyTree:
        """v = 0, or () without momentum."""
        return jax.tree.map(jnp.zeros_like, params) if self.momentum else ()

    def update(self, gradient: PyTree, carry: Carry, rate: Array) -> Carry:
        """One step along `gradient`, a tree like the parameters."""
        if self.weight_decay:
            gradient = _mix(1.0, gradient, self.weight_decay, carry.params)
        if self.momentum:
            gradient = _mix(self.momentum, carry.opt, 1.0, gradient)
        moved = jax.tree.map(lambda p, v: p - scaled(rate, v), carry.params, gradient)
        return Carry(moved, gradient if self.momentum else ())


class AdamState(NamedTuple):
    """Averages of Adam, trees like the parameters."""

    count: Array  # int32 []
    mean: PyTree
    square: PyTree


@dataclass(frozen=True)
class Adam:
    """Adam with corrected averages (Kingma and Ba, ICLR 2015, algorithm 1)."""

    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    eps_root: float = 1e-30
    """Under the root. The root's slope at 0 is infinite, and a unit that never had a
    gradient would make the outer gradient NaN; this size leaves the step as it is."""

    def __post_init__(self) -> None:
        _require("b1", self.b1, 0.0 <= self.b1 < 1.0, "in [0, 1)")
        _require("b2", self.b2, 0.0 <= self.b2 < 1.0, "in [0, 1)")
        _require("eps", self.eps, self.eps > 0.0, "> 0")
        _require("eps_root", self.eps_root, self.eps_root > 0.0, "> 0, e.g. 1e-30")

    def init(self, params: PyTree) -> AdamState:
        """No steps, averages 0."""
        zeros = jax.tree.map(jnp.zeros_like, params)
        return AdamState(jnp.zeros((), jnp.int32), zeros, zeros)

    def update(self, gradient: PyTree, carry: Carry, rate: Array) -> Carry:
        """One step along `gradient`, a tree like the parameters."""
        count = carry.opt.count + 1
        mean = _mix(self.b1, carry.opt.mean, 1.0 - self.b1, gradient)
        squares = jax.tree.map(jnp.square, gradient)
        square = _mix(self.b2, carry.opt.square, 1.0 - self.b2, squares)

        def move(p: Array, m: Array, s: Array) -> Array:
            steps = count.astype(p.dtype)
            root = jnp.sqrt(s / (1.0 - self.b2**steps) + self.eps_root)
            return p - scaled(rate, m / (1.0 - self.b1**steps) / (root + self.eps))

        moved = jax.tree.map(move, carry.params, mean, square)
        return Carry(moved, AdamState(count, mean, square))


def problem(
    loss: Callable[[Any, PyTree, Any], Array],
    optimiser: InnerOptimiser,
    rate: float | Rate,
) -> InnerProblem:
    """An inner problem that takes optimiser steps along the gradient of a loss.

    Args:
      loss: (theta, params, x) -> scalar.
      optimiser: `SGD` or `Adam`, or what has their two functions.
      rate: the learning rate, a positive number or (theta, x) -> [] of the dtype of the
        parameters; `learned_rate` makes one that cannot become negative.

    Returns:
      The problem; it carries `initial_carry(optimiser, params)`.

    Raises:
      InputError: when `rate` is a number that is not positive.
    """
    rate_fn = rate if callable(rate) else _constant(rate)
    gradient = jax.grad(loss, argnums=1)

    def step(theta: Any, carry: Carry, x: Any) -> Carry:
        slope = gradient(theta, carry.params, x)
        return optimiser.update(slope, carry, rate_fn(theta, x))

    return InnerProblem(step, gradient, optimiser, loss, rate_fn)


def initial_carry(optimiser: InnerOptimiser, params: PyTree) -> Carry:
    """What the first step starts from: the parameters and the optimiser's state."""
    return Carry(params, optimiser.init(params))


def learned_rate(select: Callable[[Any, Any], Array]) -> Rate:
    """The rate exp(select(theta, x)): what is learned is its logarithm."""
    return lambda theta, x: jnp.exp(select(theta, x))


def scaled(rate: Any, leaf: Array) -> Array:
    """rate * leaf in the leaf's precision, whatever the rate's."""
    return jnp.asarray(rate, leaf.dtype) * leaf


def _constant(rate: float) -> Rate:
    _require("rate", rate, rate > 0.0 and math.isfinite(rate), "positive")
    return lambda theta, x: jnp.asarray(rate)


def _mix(a: float, first: PyTree, b: float, second: PyTree) -> PyTree:
    return jax.tree.map(lambda one, two: a * one + b * two, first, second)


def _require(name: str, value: float, holds: bool, allowed: str) -> None:
    if not holds:
        raise InputError(f"{name}={value!r} must be {allowed}")
