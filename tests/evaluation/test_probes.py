"""Nearest neighbours, linear probe and fine-tuning, against what they must give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from jaxdd.base import Variables
from jaxdd.evaluation import probes
from jaxdd.records import (
    Decay,
    Recipe,
    Sgd,
)
from jaxdd.training.examples import student_network
from tests.evaluation.cases import (
    MLP,
    Recorder,
    protocol,
    standard_dataset,
)


def features(seed: int, n: int, d: int = 5, classes: int = 3):
    """Overlapping Gaussian classes around large means."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, n)
    rows = rng.standard_normal((n, d)) + 100 + label[:, None]
    return jnp.asarray(rows, jnp.float32), jnp.asarray(label, jnp.int32)


@pytest.mark.parametrize("neighbours", [1, 4, 5])
def test_knn_agrees_with_scikit_learn(neighbours: int, monkeypatch) -> None:
    monkeypatch.setattr(probes, "_BLOCK", 64)  # several blocks, the last one partial
    train, test = features(0, 200), features(1, 150)
    model = KNeighborsClassifier(neighbours).fit(*map(np.asarray, train))
    expected = model.score(*map(np.asarray, test))
    found = probes.knn(*train, *test, neighbours=neighbours)
    assert found == pytest.approx(expected, abs=1e-12)
    assert 0.5 < expected < 1


def test_knn_with_few_rows_asks_them_all() -> None:
    rows = jnp.asarray([[0.0], [1.0], [1.1]])
    label = jnp.asarray([0, 1, 1])
    score = probes.knn(rows, label, rows, label, neighbours=9)
    assert score == pytest.approx(2 / 3)


def test_linear_probe_separates_what_can_be_separated(key: jax.Array) -> None:
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(3), 40)
    rows = np.eye(3)[label] * 4 + 0.3 * rng.standard_normal((120, 3))
    part = np.arange(120) % 3 == 0
    data = [
        jnp.asarray(a) for a in (rows[~part], label[~part], rows[part], label[part])
    ]
    recipe = Recipe(steps=60, batch=32, optimiser=Sgd(0.2, schedule=Decay("cosine")))
    score = probes.linear_probe(key, *data, recipe, num_classes=3)
    assert score == 1.0
    untrained = Recipe(steps=0, batch=32, optimiser=recipe.optimiser)
    assert probes.linear_probe(key, *data, untrained, num_classes=3) < 0.9


def test_fine_tuning_starts_from_the_body_and_a_fresh_head(key: jax.Array) -> None:
    data, drive = standard_dataset(), Recorder()
    network = student_network(MLP, (8, 8, 1), 6)
    variables = jax.jit(network.init)(key)
    recipe = protocol().fine_tune
    score = probes.fine_tune(
        key, network, variables, data.train, data.test, recipe, drive=drive
    )
    start = drive.calls["fine_tune"]["start"].variables
    for a, b in zip(
        jax.tree.leaves(start.params["body"]),
        jax.tree.leaves(variables.params),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    end = drive.calls["fine_tune"]["end"].variables
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), start.params, end.params)
    assert all(jax.tree.leaves(moved["head"]))
    assert sum(jax.tree.leaves(moved["body"])) == 2  # the old last layer stays
    assert score > 0.9


def test_fine_tuning_ignores_the_old_last_layer(key: jax.Array) -> None:
    data = standard_dataset()
    network = student_network(MLP, (8, 8, 1), 6)
    variables = jax.jit(network.init)(key)

    def features_only(params: dict) -> jax.Array:
        output, _ = network.apply(Variables(params, variables.stats), data_image)
        return output.features.sum()

    data_image = jnp.asarray(data.train.image, jnp.float32)
    grads = jax.jit(jax.grad(features_only))(variables.params)
    scrambled = jax.tree.map(
        lambda leaf, g: leaf if bool(g.any()) else leaf + 3.0, variables.params, grads
    )
    ends = []
    for params in (variables.params, scrambled):
        drive = Recorder()
        start = Variables(params, variables.stats)
        recipe = protocol().fine_tune
        probes.fine_tune(
            key, network, start, data.train, data.test, recipe, drive=drive
        )
        ends.append(drive.calls["fine_tune"]["end"].variables.params)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), *ends)
    assert all(jax.tree.leaves(same["head"]))
    assert not all(jax.tree.leaves(same["body"]))  # the old layer itself differs


def test_accuracy_counts_right_rows() -> None:
    logits = jnp.asarray([[0.0, 1.0], [2.0, 1.0], [0.0, 1.0], [3.0, 4.0]])
    assert probes.accuracy(logits, jnp.asarray([1, 0, 0, 1])) == 0.75
