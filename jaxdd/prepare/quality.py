"""How good a teacher's representation is: k-NN, linear probe and a collapse monitor."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd.base import Array, Dataset, Variables
from jaxdd.evaluation.probes import knn, linear_probe
from jaxdd.prepare.views import Represent
from jaxdd.records import (
    Decay,
    Recipe,
    Sgd,
)
from jaxdd.training.examples import apply_to_all

__all__ = ["collapse", "measure", "measured"]

_PROBE = Recipe(
    steps=500,
    batch=512,
    optimiser=Sgd(0.2, 0.9, schedule=Decay("cosine")),
)
_NEIGHBOURS = 5


def measured(dataset: Dataset) -> tuple[str, ...]:
    """The names of what `measure` reports."""
    labels = dataset.train.num_classes > 0
    return ("collapse", "knn", "linear_probe") if labels else ("collapse",)


def measure(
    represent: Represent,
    variables: Variables,
    dataset: Dataset,
    *,
    seed: int = 0,
) -> dict[str, Array]:
    """The quality of a trained teacher, un-augmented and in eval mode.

    Args:
      represent: (variables, image [n,h,w,c]) -> [n,d].
      variables: of the teacher.
      dataset: its test split is classified; without one, every fifth training image.
      seed: of the linear probe.

    Returns:
      The numbers named by `measured`: `collapse` (see there) and, where there are
      labels, the test accuracies `knn` and `linear_probe`, on standardised dimensions.
    """
    train = apply_to_all(represent)(variables, dataset.train)
    report = {"collapse": collapse(train)}
    if dataset.train.num_classes:
        report |= _accuracies(represent, variables, dataset, train, seed)
    return {name: jnp.float32(value) for name, value in report.items()}


def collapse(representation: Array) -> Array:
    """Spread of the l2-normalised representation, relative to an even one.

    The standard deviation over the rows, averaged over the d dimensions, times
    sqrt(d): about 1 for directions spread over the sphere, 0 where all inputs map to
    one point or one direction.
    """
    norm = jnp.linalg.norm(representation, axis=1, keepdims=True)
    unit = representation / jnp.where(norm > 0, norm, 1)
    return jnp.mean(jnp.std(unit, axis=0)) * jnp.sqrt(unit.shape[1])


def _accuracies(
    represent: Represent,
    variables: Variables,
    dataset: Dataset,
    train: Array,
    seed: int,
) -> dict[str, float]:
    label = dataset.train.label
    if dataset.test is not None:
        test = apply_to_all(represent)(variables, dataset.test)
        test_label = dataset.test.label
    else:
        held = np.arange(len(label)) % 5 == 0
        train, test = train[~held], train[held]
        label, test_label = label[~held], label[held]
    mean, std = jnp.mean(train, 0, keepdims=True), jnp.std(train, 0, keepdims=True)
    std = jnp.where(std > 0, std, 1)
    probe = linear_probe(
        jax.random.key(seed),
        (train - mean) / std,
        label,
        (test - mean) / std,
        test_label,
        _PROBE,
        num_classes=dataset.train.num_classes,
    )
    nearest = knn(train, label, test, test_label, neighbours=_NEIGHBOURS)
    return {"knn": nearest, "linear_probe": probe}
