"""Gradients of a training's outcome from loss values alone: ES, truncated ES, PES.

They differentiate nothing, so the inner training may be long or non-smooth, but their
variance grows with the outer parameters: for at most about a thousand of them. All are
pure; what lasts between calls is the `Particles` that a method keeps in its state.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Key, PyTree
from jaxdd.errors import InputError

__all__ = ["ES", "PES", "Episode", "Particles", "TruncatedES", "begin", "evolution"]


class Episode(NamedTuple):
    """An inner training of `length` steps, and a loss after every one of them.

    The outer loss is the mean of `loss` over the steps. `step` is that of an
    `InnerProblem`. `draw(key, t)` gives the input of step t from the episode's key;
    where only the end counts, it tells `loss` which step it is.
    """

    init: Callable[[PyTree, Key], PyTree]  # (theta, key) -> carry
    step: Callable[[PyTree, PyTree, Any], PyTree]  # (theta, carry, x) -> carry
    loss: Callable[[PyTree, PyTree, Any], Array]  # (theta, carry, x) -> []
    length: int
    draw: Callable[[Key, Array], Any] = jax.random.fold_in


@dataclasses.dataclass(frozen=True)
class ES:
    """Antithetic evolution strategies over the whole horizon; `outer(theta, key)`.

    Unbiased for the loss smoothed by a Gaussian of deviation `sigma`.
    """

    sigma: float = 0.01
    pairs: int = 1
    """Antithetic pairs a call."""
    together: bool = True
    """All pairs in one vectorised program; otherwise one after the other."""


@dataclasses.dataclass(frozen=True)
class TruncatedES(ES):
    """ES on a window of an `Episode` that goes on from call to call.

    Both mates start at the state of the unperturbed training, so what theta did before
    the window is left out: biased.
    """

    window: int = 10
    """Inner steps a call."""


@dataclasses.dataclass(frozen=True)
class PES(TruncatedES):
    """Persistent evolution strategies (Vicol, Metz and Sohl-Dickstein, ICML 2021).

    The mates live on across windows and each remembers the sum of its perturbations:
    over an episode's windows the mean is unbiased for the loss of a training whose
    theta is perturbed anew in every window.
    """


class Particles(NamedTuple):
    """What ES over windows keeps between calls; the leading axis is the pair."""

    carry: PyTree  # [pairs,2,...] of both mates (PES), or [pairs,...]
    accumulator: PyTree  # like theta, [pairs,...]: sums of perturbations; PES only
    key: Key  # [pairs], of the episode; mates share it
    step: Array  # int32 [pairs]: steps since the episode began
    left: Array  # int32 [pairs]: steps until the next one begins


def begin(
    outer: Episode | Callable,
    theta: PyTree,
    key: Key,
    spec: ES,
    *,
    stagger: bool = True,
) -> Any:
    """The state before the first call of `evolution`.

    Args:
      outer: as there. theta: the outer parameters. key: of the first episodes.
      spec: ES needs no state, and has ().
      stagger: cut the first episode of every pair but one, each by another length, so
        that later the pairs stand at different places of their episodes.

    Raises:
      InputError: a setting out of its range, or an `outer` that `spec` cannot use.
    """
    _check(outer, spec)
    if not isinstance(spec, TruncatedES) or not isinstance(outer, Episode):
        return ()
    keys = jax.random.split(key, spec.pairs)
    carry = jax.vmap(outer.init, (None, 0))(theta, keys)
    places = jnp.arange(spec.pairs, dtype=jnp.int32) * outer.length // spec.pairs
    zeros = jnp.zeros(spec.pairs, jnp.int32)
    accumulator = ()
    if isinstance(spec, PES):
        carry = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf], 1), carry)
        shape = lambda leaf: (spec.pairs, *jnp.shape(leaf))
        accumulator = jax.tree.map(
            lambda a: jnp.zeros(shape(a), jnp.result_type(a)), theta
        )
    return Particles(carry, accumulator, keys, zeros, places if stagger else zeros)


def evolution(
    outer: Episode | Callable[[PyTree, Key], Array],
    theta: PyTree,
    key: Key,
    state: Any = (),
    *,
    spec: ES = ES(),
) -> tuple[Array, PyTree, Any]:
    """The outer loss and an estimate of its gradient, from antithetic pairs.

    Mates share the data and every key. A window may contain the end of an episode: the
    losses behind it know nothing of earlier perturbations and are weighted with the
    newest alone.

    Args:
      outer: a function (theta, key) -> [] for `ES`, an `Episode` for the others.
      theta: any pytree; integer leaves stay as they are and get zeros.
      key: a new one at each call.
      state: of `begin`, then of the last call.
      spec: which estimator.

    Returns:
      Mean loss, gradient like theta, the next state.

    Raises:
      InputError: as `begin`.
    """
    _check(outer, spec)
    keys = jax.random.split(key, spec.pairs)
    if isinstance(spec, TruncatedES) and isinstance(outer, Episode):
        run = lambda own: _pair(outer, theta, own[0], own[1], spec)
        value, gradient, state = _each(run, (keys, state), spec.together)
    else:
        assert not isinstance(outer, Episode)
        run = lambda own: _whole(outer, theta, own, spec)
        value, gradient = _each(run, keys, spec.together)
    mean = lambda leaf: jnp.mean(leaf, 0).astype(leaf.dtype)
    return jnp.mean(value), jax.tree.map(mean, gradient), state


def _check(outer: Any, spec: ES) -> None:
    """Settings in their ranges, and an `outer` that the estimator can use."""
    for name in ("sigma", "pairs", "window"):
        value = getattr(spec, name, 1)
        if value <= 0:
            raise InputError(f"spec.{name}: {value}; it must be positive")
    windows, episode = isinstance(spec, TruncatedES), isinstance(outer, Episode)
    if windows != episode:
        wanted = "an Episode" if windows else "a function (theta, key) -> loss"
        raise InputError(f"outer: {type(spec).__name__} takes {wanted}; change spec")
    if episode and outer.length < 1:
        raise InputError(f"outer.length: {outer.length}; an episode has a step or more")


def _each(function: Callable, rows: PyTree, together: bool) -> Any:
    """The function of every row, stacked."""
    return jax.vmap(function)(rows) if together else jax.lax.map(function, rows)


def _inexact(leaf: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(leaf), jnp.inexact)


def _noise(key: Key, theta: PyTree, sigma: float) -> PyTree:
    """A Gaussian perturbation of every floating leaf, zeros elsewhere."""
    leaves, structure = jax.tree.flatten(theta)
    drawn = [
        sigma * jax.random.normal(own, jnp.shape(leaf), jnp.result_type(leaf))
        if _inexact(leaf)
        else jnp.zeros_like(leaf)
        for leaf, own in zip(leaves, jax.random.split(key, len(leaves)), strict=True)
    ]
    return structure.unflatten(drawn)


def _moved(theta: PyTree, noise: PyTree, signs: tuple[int, ...]) -> PyTree:
    """theta plus each sign's multiple of the noise, stacked."""
    return jax.tree.map(
        lambda a, e: jnp.stack([a + s * e for s in signs]), theta, noise
    )


def _scaled(tree: PyTree, by: Array) -> PyTree:
    """Floating leaves times a number; the others, which are zero, as they are."""
    return jax.tree.map(lambda a: (a * by).astype(a.dtype) if _inexact(a) else a, tree)


def _whole(outer: Callable, theta: PyTree, key: Key, spec: ES) -> tuple[Array, PyTree]:
    """Loss and gradient estimate of one pair over the whole horizon."""
    shared, own = jax.random.split(key)
    noise = _noise(own, theta, spec.sigma)
    run = lambda moved: outer(moved, shared)
    loss = _each(run, _moved(theta, noise, (1, -1)), spec.together)
    slope = (loss[0] - loss[1]) / (2 * spec.sigma**2)
    return jnp.mean(loss), _scaled(noise, slope)


def _pair(
    episode: Episode, theta: PyTree, key: Key, state: Particles, spec: TruncatedES
) -> tuple[Array, PyTree, Particles]:
    """Loss, gradient estimate and next state of one pair over one window."""
    shared, own = jax.random.split(key)
    noise = _noise(own, theta, spec.sigma)
    if isinstance(spec, PES):
        thetas = _moved(theta, noise, (1, -1))
        loss, renewed, state = _window(episode, thetas, shared, state, spec)
        total = jax.tree.map(jnp.add, state.accumulator, noise)
        kept = jax.tree.map(lambda e, a: jnp.where(renewed[-1], e, a), noise, total)
        state = state._replace(accumulator=kept)
    else:  # the first copy is unperturbed, and the training goes on from it
        thetas, total = _moved(theta, noise, (0, 1, -1)), noise
        copies = jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), state.carry)
        inside = state._replace(carry=copies)
        loss, renewed, state = _window(episode, thetas, shared, inside, spec)
        state = state._replace(carry=jax.tree.map(lambda leaf: leaf[0], state.carry))
    slope = (loss[:, -2] - loss[:, -1]) / (2 * spec.sigma**2 * spec.window)
    before, behind = jnp.sum(jnp.where(renewed, 0, slope)), jnp.sum(renewed * slope)
    parts = _scaled(total, before), _scaled(noise, behind)
    return jnp.mean(loss[:, -2:]), jax.tree.map(jnp.add, *parts), state


def _window(
    episode: Episode, thetas: PyTree, key: Key, state: Particles, spec: TruncatedES
) -> tuple[Array, Array, Particles]:
    """Runs all copies for a window.

    Returns:
      Losses [window,copies]; whether a new episode has begun in the window [window];
      the state behind it.
    """

    def advance(
        state: Particles, index: Array
    ) -> tuple[Particles, tuple[Array, Array]]:
        due = state.left == 0
        own = jnp.where(due, jax.random.fold_in(key, index), state.key)
        step = jnp.where(due, 0, state.step)
        left = jnp.where(due, episode.length, state.left)
        x = episode.draw(own, step)

        def one(copy: tuple[PyTree, PyTree]) -> tuple[PyTree, Array]:
            theta, carry = copy
            fresh = lambda: episode.init(theta, own)
            carry = jax.lax.cond(due, fresh, lambda: carry)
            carry = episode.step(theta, carry, x)
            return carry, episode.loss(theta, carry, x)

        carry, loss = _each(one, (thetas, state.carry), spec.together)
        state = Particles(carry, state.accumulator, own, step + 1, left - 1)
        return state, (loss, due)

    state, (loss, due) = jax.lax.scan(advance, state, jnp.arange(spec.window))
    return loss, jnp.cumsum(due) > 0, state
