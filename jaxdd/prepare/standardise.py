"""Brings a teacher's representation to mean 0 and deviation 1 in each number.

Methods differ in the scale of what they learn, and the learning rates of a student that
imitates it are tuned to one scale.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp

from jaxdd.base import Array, Corpus, Variables
from jaxdd.networks.teacher import represent, with_moments
from jaxdd.prepare.imported import teacher_identity
from jaxdd.prepare.prepared_cache import asset_key, cached_tree
from jaxdd.records import Teacher
from jaxdd.training.examples import apply_to_all

__all__ = ["standardise"]

_LEAST = 1e-4  # of the largest deviation; below it, a number is a constant


def standardise(
    teacher: Teacher, corpus: Corpus, variables: Variables, cache: Path | None = None
) -> Variables:
    """The variables with which `represent` standardises.

    Args:
      teacher: with `standardise`.
      corpus: the training split, un-augmented.
      variables: of the body, trained without.
      cache: folder of prepared assets, or None.

    Returns:
      The variables with the mean [d] and the deviation [d] of the representation;
      numbers that hardly vary are only shifted.
    """
    plain = dataclasses.replace(teacher, standardise=False)
    _, read, width = represent(plain, corpus.image_shape)

    def build() -> tuple[Array, Array]:
        rows = apply_to_all(read)(variables, corpus)
        mean, deviation = jnp.mean(rows, axis=0), jnp.std(rows, axis=0)
        constant = deviation <= _LEAST * jnp.max(deviation)
        return mean, jnp.where(constant, 1.0, deviation)

    like = (jax.ShapeDtypeStruct((width,), jnp.float32),) * 2
    key = asset_key(corpus, "moments", teacher_identity(plain))
    return with_moments(variables, *cached_tree(cache, key, like, build))
