"""Students that take a set's own steps: its batches in their order, at its rates.

A set brings its steps as `hyper["rates"]` [E,K]: E passes over K batches, and batch k
holds the k-th part of the rows of every class (T. Wang et al. 2018, arXiv 1811.10959).
Other rows are trained by the same steps at one rate.
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

from jaxdd import tree
from jaxdd.base import Synthetic
from jaxdd.errors import InputError
from jaxdd.evaluation.setting import Setting
from jaxdd.records import (
    Listed,
    Recipe,
    Sgd,
)

__all__ = ["own_steps", "replayed"]


def own_steps(setting: Setting, position: int) -> np.ndarray | None:
    """The rates [E,K] of the set of a seed, if its protocol replays and it has some."""
    hyper = setting.set_at(position).synthetic.hyper
    known = isinstance(hyper, dict) and "rates" in hyper
    if not (setting.meta.protocol.labelled.replay and known):
        return None
    return np.asarray(hyper["rates"])


def replayed(
    setting: Setting, synthetic: Synthetic, recipe: Recipe, rates: np.ndarray
) -> tuple[Synthetic, Recipe]:
    """A class-major set in the order of its batches, and the recipe of its steps.

    Args:
      setting: says how many classes there are.
      synthetic: as many images of every class, a multiple of K.
      recipe: its loss and augmentation stay, plain steps take the place of the rest.
      rates: [E,K], of every step.

    Raises:
      InputError: the images cannot be dealt out to K batches.
    """
    epochs, batches = rates.shape
    classes, size = setting.meta.num_classes, synthetic.image.shape[0]
    if size % (classes * batches):
        raise InputError(
            f"evaluate.labelled.replay=True: {size} images of {classes} classes cannot"
            f" be dealt out to the {batches} batches that the set was made for"
        )
    order = np.arange(size).reshape(classes, batches, -1).swapaxes(0, 1).reshape(-1)
    listed = tuple(float(rate) for rate in rates.reshape(-1))
    steps = dataclasses.replace(
        recipe,
        steps=epochs * batches,
        epochs=0,
        batch=size // batches,
        optimiser=Sgd(momentum=0.0, schedule=Listed(listed)),
        ordered=True,
    )
    rows = tree.take(synthetic._replace(hyper=()), jnp.asarray(order))
    return rows, steps
