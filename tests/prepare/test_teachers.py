"""The shipped teachers learn representations worth imitating."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxdd.data.load import load
from jaxdd.networks.teacher import training_network
from jaxdd.prepare.ssl import two_views
from jaxdd.prepare.ssl_losses import objective
from jaxdd.presets import teachers as _teachers
from jaxdd.records import DataSpec, TeacherNeed
from jaxdd.training import optimisers, trainer
from tests.helpers import toy_corpus
from tests.prepare.cases import prepare


def test_digits_teacher_is_good():
    asset, report = prepare(TeacherNeed(_teachers.DIGITS), load(DataSpec("digits")))
    assert asset.table.shape == (1, 1347, 64)
    assert report["final_loss"] < 2.4
    assert report["knn"] > 0.96
    assert report["linear_probe"] > 0.96
    assert report["collapse"] > 0.4


@pytest.mark.slow_cases("BYOL", "SIMCLR", "VICREG")
@pytest.mark.parametrize("name", ["SIMCLR", "VICREG", "BYOL"])
def test_the_other_objectives_are_good_on_digits(name):
    teacher = getattr(_teachers, f"DIGITS_{name}")
    digits = load(DataSpec("digits"))
    _, report = prepare(TeacherNeed(teacher), digits)
    assert report["knn"] > 0.965  # after a single step 0.964
    assert report["linear_probe"] > 0.96
    assert report["collapse"] > 0.4
    assert np.isfinite(report["final_loss"])


@pytest.mark.slow_cases("")
@pytest.mark.parametrize("name", ["", "_SIMCLR", "_VICREG", "_BYOL"])
def test_the_recipes_of_cifar_take_a_step(name, key):
    teacher = getattr(_teachers, f"CIFAR{name}")
    shape = (32, 32, 3)
    recipe = teacher.recipe
    loss, average = objective(teacher)
    run = trainer(
        two_views(dataclasses.replace(recipe, batch=4), shape),
        training_network(teacher, shape),
        recipe,
        loss=loss,
        average=average,
    )
    state = jax.eval_shape(run.init, key)
    corpus = toy_corpus(side=32, channels=3)
    after, metrics = jax.eval_shape(run.step, state, corpus)
    assert jax.tree.structure(after) == jax.tree.structure(state)
    assert set(metrics) == {"loss"}
    rate = optimisers.schedule(recipe.optimiser, recipe.steps)
    assert float(rate(0)) == pytest.approx(3e-5, rel=1e-2)
    assert float(rate(1950)) == pytest.approx(recipe.optimiser.learning_rate)


@pytest.mark.slow
@pytest.mark.data
def test_mnist_teacher_is_good(data_dir):
    spec = DataSpec(
        "mnist", dir=data_dir, train_limit=6000, test_limit=2000, pool=2, pad=2
    )
    asset, report = prepare(TeacherNeed(_teachers.MNIST), load(spec))
    assert asset.table.shape == (1, 6000, 64)
    assert report["final_loss"] < 2.3
    assert report["knn"] > 0.92
    assert report["linear_probe"] > 0.93
    assert report["collapse"] > 0.4
