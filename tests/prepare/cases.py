"""Tiny teachers and a data set shared by the tests of preparation."""

import dataclasses
from typing import Any

from jaxdd import prepare as library
from jaxdd.base import Dataset
from jaxdd.prepare import Site
from jaxdd.records import (
    Adam,
    AugmentSpec,
    ConvNet,
    Experts,
    Mlp,
    Recipe,
    Sgd,
    Teacher,
)
from tests.helpers import toy_corpus

RECIPE = Recipe(
    steps=12,
    batch=16,
    optimiser=Adam(3e-3),
    augment=AugmentSpec(shift=0.5, scale=0.1, noise=0.05),
)
TINY = Teacher(
    network=ConvNet(width=(4,), norm="batch"),
    represent="output",
    outputs=6,
    projector=(),
    redundancy=0.005,
    loss_scale=1.0,
    recipe=RECIPE,
)
# One for each objective, with all the networks it knows; convolutions, which take long
# to compile, in one of them only.
_FLAT = dataclasses.replace(
    TINY, network=Mlp(width=(8,)), projector=(12, 5), predictor=(10, 5)
)
OBJECTIVES = {
    "barlow": TINY,
    "simclr": dataclasses.replace(_FLAT, objective="simclr", projector_norm=False),
    "vicreg": dataclasses.replace(_FLAT, objective="vicreg"),
    "byol": dataclasses.replace(_FLAT, objective="byol"),
}


def toy_dataset() -> Dataset:
    """48 training and 24 test images of four classes."""
    return Dataset(toy_corpus(), toy_corpus(seed=1, per_class=6))


EXPERTS = Experts(
    network=Mlp(width=(5,)),
    recipe=Recipe(batch=20, optimiser=Sgd(0.1, 0.0)),
    epochs=4,
    count=3,
)
"""Three steps an epoch of the toy data, the last with a partial batch."""


def replaced(record, **changes):
    """A record with other fields."""
    return dataclasses.replace(record, **changes)


def prepare(need: Any, dataset: Dataset, **site: Any) -> tuple[Any, dict[str, float]]:
    """The asset and its quality, on a site with these fields and one drive for all."""
    if "drive" in site:
        site["unsaved_drive"] = site["drive"]
    made = library.prepare(need, dataset, Site(**site))
    return made.asset, dict(made.quality)
