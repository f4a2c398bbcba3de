"""Learned numbers that belong to a set beside its images, such as learning rates."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Assets, Corpus, Decoder, Key, PyTree, Synthetic
from jaxdd.errors import InputError

__all__ = ["learned_rate", "with_hyper"]


def with_hyper(
    decoder: Decoder, start: PyTree, read: Callable[[PyTree], PyTree] = lambda h: h
) -> Decoder:
    """A decoder whose sets carry learned numbers.

    Args:
      decoder: of the images and targets; its parameters are a dict.
      start: the numbers at step 0, the new entry `params["hyper"]`.
      read: what `Synthetic.hyper` holds of them.

    Returns:
      The decoder; the numbers count as stored.
    """

    def init(key: Key, corpus: Corpus, assets: Assets) -> PyTree:
        params = decoder.init(key, corpus, assets)
        dtype = params["image"].dtype if "image" in params else jnp.float32
        return {**params, "hyper": jax.tree.map(lambda h: jnp.asarray(h, dtype), start)}

    def finish(params: PyTree, synthetic: Synthetic) -> Synthetic:
        return synthetic._replace(hyper=read(params["hyper"]))

    def decode(
        params: PyTree, assets: Assets, key: Key, rows: Array | None = None
    ) -> Synthetic:
        return finish(params, decoder.decode(_rest(params), assets, key, rows))

    def export(params: PyTree, assets: Assets, key: Key) -> Synthetic:
        inner = decoder.export or decoder.decode
        return finish(params, inner(_rest(params), assets, key))

    def project(params: PyTree) -> PyTree:
        return {**decoder.project(_rest(params)), "hyper": params["hyper"]}

    def floats(params: PyTree) -> int:
        learned = sum(leaf.size for leaf in jax.tree.leaves(params["hyper"]))
        return decoder.floats(_rest(params)) + learned

    return Decoder(init, decode, project, floats, export)


def _rest(params: PyTree) -> PyTree:
    return {name: part for name, part in params.items() if name != "hyper"}


def learned_rate(decoder: Decoder, rate: float) -> Decoder:
    """A decoder whose sets bring a learned learning rate.

    Learned is its logarithm, so that it stays positive whatever the outer step; a
    learning rate r of the rate itself is r / rate^2 of the logarithm, to first order.

    Args:
      decoder: of the images and targets.
      rate: at step 0.

    Returns:
      The decoder; `Synthetic.hyper["learning_rate"]` is the rate, [].

    Raises:
      InputError: `rate` is not positive.
    """
    if not (math.isfinite(rate) and rate > 0):
        raise InputError(f"rate={rate}: the inner learning rate must be positive")
    start = {"log_rate": math.log(rate)}
    return with_hyper(
        decoder, start, lambda h: {"learning_rate": jnp.exp(h["log_rate"])}
    )
