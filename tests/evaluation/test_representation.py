"""Rows of representation sets: the metric, true targets, probes, pairing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import select, whiten
from jaxdd.base import Dataset, Variables
from jaxdd.errors import InputError
from jaxdd.evaluation import evaluate, representation_mse
from jaxdd.evaluation.students import seed_key
from jaxdd.records import Representation
from jaxdd.training import scan_drive
from jaxdd.training.examples import student_network
from tests.evaluation.cases import (
    MLP,
    SGD,
    Recorder,
    programs,
    protocol,
    representation_set,
    standard_dataset,
    teacher_outputs,
    unlabelled,
)

METRICS = ["representation_mse", "linear_probe", "knn", "fine_tune"]


def test_metric_is_zero_for_a_copy_and_one_for_the_mean(key: jax.Array) -> None:
    target = 3 + jax.random.normal(key, (40, 5)) * jnp.arange(1.0, 6)[None]
    assert representation_mse(target, target) == 0
    mean = jnp.broadcast_to(target.mean(0, keepdims=True), target.shape)
    assert representation_mse(mean, target) == pytest.approx(1, abs=1e-6)
    assert representation_mse(2 * mean - target, target) == pytest.approx(4, abs=1e-5)


@pytest.fixture(scope="module")
def two_seeds():
    data, drive = standard_dataset(), Recorder()
    small = representation_set(data)
    return data, small, evaluate([small], data, seeds=[0, 1], drive=drive), drive.calls


def test_every_row_has_its_metrics(two_seeds) -> None:
    _, _, report, _ = two_seeds
    expected = [
        (name, metric)
        for name in ("krr_ssl", "random", "kmeans", "full", "scratch")
        for metric in METRICS
        if (name, metric) != ("scratch", "representation_mse")
    ]
    assert [(r.set, r.metric) for r in report.rows] == expected
    assert all(np.isfinite(r.values).all() for r in report.rows)
    assert report.notes == []


def test_protocol_is_the_loop_written_by_hand(two_seeds) -> None:
    data, small, report, _ = two_seeds
    network = student_network(MLP, (8, 8, 1), 6)
    key_init, _ = jax.random.split(seed_key(1, "student"))
    variables = jax.jit(network.init)(key_init)
    image, target, _, _ = small.synthetic

    def loss(params):
        output, _ = network.apply(Variables(params, variables.stats), image, train=True)
        return ((output.logits - target) ** 2).sum() / target.size

    @jax.jit
    def step(params, velocity):
        velocity = jax.tree.map(
            lambda v, g, p: SGD.momentum * v + g + SGD.weight_decay * p,
            velocity,
            jax.grad(loss)(params),
            params,
        )
        moved = jax.tree.map(lambda p, v: p - SGD.learning_rate * v, params, velocity)
        return moved, velocity

    params, velocity = variables.params, jax.tree.map(jnp.zeros_like, variables.params)
    for _ in range(30):
        params, velocity = step(params, velocity)
    white = whiten.apply(data.test.whitening, whiten.to_unit(data.test.image))
    f = np.asarray(network.apply(Variables(params, variables.stats), white)[0].logits)
    g = np.asarray(teacher_outputs(data.test))
    expected = ((f - g) ** 2).sum() / ((g - g.mean(0, keepdims=True)) ** 2).sum()
    found = report.find("krr_ssl", "representation_mse").values[1]
    assert found == pytest.approx(expected, rel=1e-4)


def test_baselines_have_true_targets(two_seeds) -> None:
    data, small, _, calls = two_seeds
    size = small.synthetic.image.shape[0]
    expected = {
        "random": select.random_rows(seed_key(0, "random"), data.train, size, None),
        "kmeans": select.kmeans_rows(jax.random.key(0), data.train, size, None),
    }
    for name, rows in expected.items():
        image, target, _ = calls[f"evaluate/{name}/seed0/student"]["data"]
        np.testing.assert_allclose(target, teacher_outputs(data.train)[rows], atol=1e-5)
        real = select.subset(data.train, rows)
        np.testing.assert_allclose(image, real.image, atol=1e-6)


def test_only_the_random_row_is_redrawn(two_seeds) -> None:
    _, _, _, calls = two_seeds

    def images(name: str, seed: int) -> np.ndarray:
        return np.asarray(calls[f"evaluate/{name}/seed{seed}/student"]["data"][0])

    assert (images("random", 0) != images("random", 1)).any()
    np.testing.assert_array_equal(images("kmeans", 0), images("kmeans", 1))


def test_rows_of_a_seed_start_from_the_same_network(two_seeds) -> None:
    _, _, _, calls = two_seeds

    def start(stage: str, seed: int) -> np.ndarray:
        state = calls[f"evaluate/{stage.replace('SEED', f'seed{seed}')}"]["start"]
        params = state.variables.params
        body = params.get("body", params)
        return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(body)])

    own = start("krr_ssl/SEED/student", 0)
    for stage in ("random/SEED/student", "kmeans/SEED/student", "full/SEED/student"):
        np.testing.assert_array_equal(own, start(stage, 0))
    np.testing.assert_array_equal(own, start("scratch/SEED/fine_tune", 0))
    assert (own != start("krr_ssl/SEED/student", 1)).all()


def test_one_program_for_each_kind_of_training(two_seeds) -> None:
    _, _, _, calls = two_seeds
    assert len(calls) == 2 * (5 * 3 - 1)
    assert (
        len(programs(calls)) == 4
    )  # sets of one shape, all real pairs, probe, fine-tuning


def test_full_row_learns_all_pairs_in_minibatches(two_seeds) -> None:
    data, _, report, calls = two_seeds
    call = calls["evaluate/full/seed0/student"]
    assert call["data"][0].shape == data.train.image.shape
    assert call["num_steps"] == protocol().train.steps
    full = report.find("full", "representation_mse").mean
    assert full < report.find("random", "representation_mse").mean


def test_given_teacher_outputs_are_used(two_seeds) -> None:
    data, small, report, _ = two_seeds
    given = {"train": teacher_outputs(data.train), "test": teacher_outputs(data.test)}
    without = small._replace(modules={})
    again = evaluate([without], data, seeds=[0], teacher_outputs=given, baselines=False)
    value = again.find("krr_ssl", "representation_mse").mean
    recorded = report.find("krr_ssl", "representation_mse").values[0]
    assert value == pytest.approx(recorded, rel=1e-5)
    with pytest.raises(InputError, match="needs its teacher"):
        evaluate([without], data, seeds=[0])


def test_without_labels_only_the_imitation_is_measured() -> None:
    data = standard_dataset()
    bare = Dataset(unlabelled(data.train), unlabelled(data.test))
    report = evaluate([representation_set(bare)], bare, seeds=[0])
    assert {r.metric for r in report.rows} == {"representation_mse"}
    assert {r.set for r in report.rows} == {"krr_ssl", "random", "kmeans", "full"}
    assert any("no labels" in note for note in report.notes)


def test_without_train_only_the_imitation_of_the_set() -> None:
    data = standard_dataset()
    small = representation_set(data)
    report = evaluate([small], Dataset(None, data.test), seeds=[0])  # type: ignore
    assert [(r.set, r.metric) for r in report.rows] == [
        ("krr_ssl", "representation_mse")
    ]
    assert any("no training split" in note for note in report.notes)


def test_full_row_can_be_left_out_and_baselines_are_not_repeated() -> None:
    data = standard_dataset()
    small = representation_set(
        data,
        method="kmeans",
        protocol=protocol(representation=Representation(full=False)),
    )
    steps = []

    def drive(step, state, num_steps, data, *, stage):
        steps.append(stage)
        return scan_drive(step, state, min(num_steps, 1), data, stage=stage)

    report = evaluate([small], data, seeds=[0], drive=drive)
    assert {r.set for r in report.rows} == {"kmeans", "random", "scratch"}
    assert len(steps) == len(set(steps))


def test_a_set_larger_than_the_data_has_no_random_row() -> None:
    data = standard_dataset()
    small = representation_set(
        data, size=30, protocol=protocol(representation=Representation(full=False))
    )
    few = Dataset(data.test, data.test)  # 24 images
    report = evaluate([small], few, seeds=[0])
    assert {r.set for r in report.rows} == {"krr_ssl", "scratch"}
    assert any("30 images" in note for note in report.notes)


def test_labels_of_the_recipe_do_not_change_the_regression() -> None:
    data = standard_dataset()
    small = representation_set(data)
    assert small.meta.protocol.train.loss == "cross_entropy"
    mse = dataclasses.replace(protocol().train, loss="mse")
    other = representation_set(data, protocol=protocol(train=mse))
    found = [
        evaluate([s], data, seeds=[0], baselines=False).rows[0].mean
        for s in (small, other)
    ]
    assert found[0] == found[1]
