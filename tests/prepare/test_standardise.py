"""Representations brought to one scale."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import whiten
from jaxdd.networks.teacher import represent, training_network
from jaxdd.prepare.standardise import standardise
from jaxdd.records import Teacher, TeacherNeed
from tests.prepare.cases import OBJECTIVES, TINY, prepare, toy_dataset

SHAPE = (8, 8, 1)
SCALED = dataclasses.replace(TINY, standardise=True)


def _never(step, state, num_steps, data, *, stage):
    raise AssertionError("trained again")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The assets of a teacher without and with standardisation, and the cache."""
    cache, dataset = tmp_path_factory.mktemp("cache"), toy_dataset()
    plain, _ = prepare(TeacherNeed(TINY), dataset, cache=cache)
    scaled, report = prepare(TeacherNeed(SCALED), dataset, drive=_never, cache=cache)
    return plain, scaled, report, cache


@pytest.mark.slow
def test_every_number_has_mean_zero_and_deviation_one(prepared):
    plain, scaled, _, _ = prepared
    table = np.asarray(plain.table[0], np.float64)
    expected = (table - table.mean(0)) / table.std(0)
    np.testing.assert_allclose(scaled.table[0], expected, atol=1e-4)
    assert not np.allclose(table, expected, atol=0.1)


def test_the_numbers_are_kept_with_the_variables_and_in_the_cache(prepared):
    _, scaled, report, cache = prepared
    moments = scaled.variables.stats["standardise"]
    assert {name: m.shape for name, m in moments.items()} == {
        "mean": (6,),
        "deviation": (6,),
    }
    again, same = prepare(TeacherNeed(SCALED), toy_dataset(), drive=_never, cache=cache)
    jax.tree.map(np.testing.assert_array_equal, again, scaled)
    assert same == report


def test_constant_numbers_are_only_shifted(key):
    teacher = Teacher(network=TINY.network, projector=(), standardise=True)
    body, read, width = represent(teacher, SHAPE)
    without = dataclasses.replace(teacher, standardise=False)
    plain, read_plain, _ = represent(without, SHAPE)
    variables = jax.jit(plain.init)(key)
    dead = jax.tree.map(lambda leaf: leaf, variables)
    dead.params["norm_0"]["bias"] = dead.params["norm_0"]["bias"].at[0].set(-1e3)
    corpus = toy_dataset().train
    rows = read(standardise(teacher, corpus, dead), whiten.to_unit(corpus.image))
    deviation = np.asarray(rows.std(0)).reshape(-1, 4)
    np.testing.assert_array_equal(deviation[:, 0], 0)
    np.testing.assert_allclose(deviation[:, 1:], 1, atol=1e-3)
    assert jnp.isfinite(rows).all()
    assert width == 64
    # A body that standardises is initialised so that it changes nothing.
    fresh = jax.jit(body.init)(key)
    image = whiten.to_unit(corpus.image[:4])
    np.testing.assert_array_equal(read(fresh, image), read_plain(variables, image))


@pytest.mark.slow
def test_training_leaves_the_numbers_alone(key):
    teacher = dataclasses.replace(OBJECTIVES["byol"], standardise=True)
    network = training_network(teacher, SHAPE)
    variables = jax.jit(network.init)(key)
    image = jax.random.uniform(key, (4, *SHAPE))
    _, after = network.apply(variables, image, train=True)
    assert jax.tree.structure(after) == jax.tree.structure(variables)
    np.testing.assert_array_equal(after.stats["body"]["standardise"]["deviation"], 1)
