"""The whole evaluation on real digits, with a small student."""

import jax
import jax.numpy as jnp
import pytest

from jaxdd.base import Distilled, Synthetic
from jaxdd.data.load import load
from jaxdd.evaluation import evaluate
from jaxdd.networks.teacher import represent
from jaxdd.records import (
    DataSpec,
    Mlp,
    Protocol,
    Recipe,
    Sgd,
)
from jaxdd.select import random_rows, subset
from jaxdd.training.examples import apply_to_all
from tests.evaluation.cases import TEACHER, describe

PROTOCOL = Protocol(
    "digits",
    Mlp(width=(64,)),
    train=Recipe(steps=150, optimiser=Sgd(0.1)),
    probe=Recipe(steps=100, batch=128, optimiser=Sgd(0.1)),
    fine_tune=Recipe(steps=100, batch=128, optimiser=Sgd(0.1)),
)


@pytest.fixture(scope="module")
def digits():
    return load(DataSpec())


def test_labelled_rows_on_digits(digits) -> None:
    rows = random_rows(jax.random.key(11), digits.train, 100, 10)
    meta = describe(digits, "dm", "hard", protocol=PROTOCOL)
    small = Distilled(subset(digits.train, rows), meta, digits.train.whitening, {})
    report = evaluate([small], digits, seeds=[0, 1, 2])
    own, random = (report.find(name, "accuracy") for name in ("dm", "random"))
    assert own is not None
    assert random is not None
    assert 0.8 < random.mean < 0.96
    assert abs(own.mean - random.mean) < 0.06  # the set is itself random
    assert random.std > 0


@pytest.mark.slow
def test_representation_rows_on_digits(digits) -> None:
    body, apply, _ = represent(TEACHER, digits.train.image_shape)
    variables = jax.jit(body.init)(jax.random.key(5))
    target = apply_to_all(apply)(variables, digits.train)
    real = subset(digits.train, jnp.arange(50))
    meta = describe(
        digits, "krr_ssl", "representation", protocol=PROTOCOL, teacher=TEACHER
    )
    small = Distilled(
        Synthetic(real.image, target[:50], real.weight),
        meta,
        digits.train.whitening,
        {"teacher": variables},
    )
    report = evaluate([small], digits, seeds=[0])
    value = {(r.set, r.metric): r.mean for r in report.rows}
    full, random = (value[n, "representation_mse"] for n in ("full", "random"))
    assert full < 0.5 * random < 0.5
    assert value["kmeans", "representation_mse"] < 1.1 * random
    assert value["scratch", "knn"] > 0.9
    assert value["full", "fine_tune"] > 0.9
    assert value["full", "linear_probe"] > 0.75
