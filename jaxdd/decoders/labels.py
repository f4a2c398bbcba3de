"""Targets that are learned with the images, over any decoder of images."""

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Assets, Corpus, Decoder, Key, PyTree, Synthetic

__all__ = ["learned_probabilities"]


def learned_probabilities(decoder: Decoder, num_classes: int) -> Decoder:
    """A decoder whose class labels become learned weights of the classes.

    They start one-hot, are kept at or above zero, and are not normalised: the
    cross-entropy against them is -sum_c y_c log p_c (Feng et al., ICLR 2024, arXiv
    2311.07025).

    Args:
      decoder: with int targets [m]; its parameters are a dict.
      num_classes: k.

    Returns:
      The decoder, with the parameter `"target": [m,k]`.
    """

    def init(key: Key, corpus: Corpus, assets: Assets) -> PyTree:
        params = decoder.init(key, corpus, assets)
        plain = decoder.decode(params, assets, key)
        target = jax.nn.one_hot(plain.target, num_classes, dtype=plain.image.dtype)
        return {**params, "target": target}

    def decode(
        params: PyTree, assets: Assets, key: Key, rows: Array | None = None
    ) -> Synthetic:
        target = params["target"] if rows is None else params["target"][rows]
        return decoder.decode(_rest(params), assets, key, rows)._replace(target=target)

    def project(params: PyTree) -> PyTree:
        target = jnp.maximum(params["target"], 0.0)
        return {**decoder.project(_rest(params)), "target": target}

    def floats(params: PyTree) -> int:
        return decoder.floats(_rest(params)) + params["target"].size

    return Decoder(init, decode, project, floats)


def _rest(params: PyTree) -> PyTree:
    return {name: part for name, part in params.items() if name != "target"}
