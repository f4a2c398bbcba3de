"""Rows of labelled sets: the protocol, the pairing, the baselines."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdd import select, whiten
from jaxdd.base import Dataset, Variables
from jaxdd.errors import InputError
from jaxdd.evaluation import evaluate
from jaxdd.evaluation.students import seed_key
from jaxdd.records import Recipe
from jaxdd.training.examples import student_network
from tests.evaluation.cases import (
    MLP,
    SGD,
    Recorder,
    describe,
    labelled_set,
    programs,
    protocol,
    standard_dataset,
    unlabelled,
)


def by_hand(small, test, seed: int, steps: int) -> tuple[Variables, float]:
    """Full-batch SGD with coupled weight decay and momentum, written out."""
    network = student_network(MLP, (8, 8, 1), 4)
    key_init, _ = jax.random.split(seed_key(seed, "student"))
    variables = jax.jit(network.init)(key_init)
    image, target, _, _ = small.synthetic

    def loss(params):
        output, _ = network.apply(Variables(params, variables.stats), image, train=True)
        picked = jnp.take_along_axis(
            jax.nn.log_softmax(output.logits), target[:, None], 1
        )
        return -jnp.mean(picked)

    @jax.jit
    def step(params, velocity):
        grads = jax.grad(loss)(params)
        velocity = jax.tree.map(
            lambda v, g, p: SGD.momentum * v + g + SGD.weight_decay * p,
            velocity,
            grads,
            params,
        )
        moved = jax.tree.map(lambda p, v: p - SGD.learning_rate * v, params, velocity)
        return moved, velocity

    params = variables.params
    velocity = jax.tree.map(jnp.zeros_like, params)
    for _ in range(steps):
        params, velocity = step(params, velocity)
    white = whiten.apply(test.whitening, whiten.to_unit(test.image))
    output, _ = network.apply(Variables(params, variables.stats), white)
    right = jnp.argmax(output.logits, 1) == test.label
    return Variables(params, variables.stats), float(jnp.mean(right))


def test_protocol_is_the_loop_written_by_hand() -> None:
    data, drive = standard_dataset(), Recorder()
    small = labelled_set(data, ipc=1)
    report = evaluate([small], data, seeds=[3], drive=drive, baselines=False)
    variables, score = by_hand(small, data.test, 3, 30)
    assert report.rows[0].values == (score,)
    assert score > 0.25
    end = drive.calls["evaluate/dm/seed3/student"]["end"].variables
    for a, b in zip(jax.tree.leaves(end), jax.tree.leaves(variables), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def sets_of(report) -> list[str]:
    return [row.set for row in report.rows if row.metric == "accuracy"]


@pytest.fixture(scope="module")
def two_seeds():
    data, drive = standard_dataset(), Recorder()
    small = labelled_set(data, ipc=1)
    mesh = jax.make_mesh((2,), ("data",), (jax.sharding.AxisType.Auto,))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    made = jax.device_put(small.synthetic, everywhere)  # as a run leaves it
    report = evaluate([small._replace(synthetic=made)], data, seeds=[0, 5], drive=drive)
    return data, report, drive.calls


def test_rows_are_complete(two_seeds) -> None:
    _, report, _ = two_seeds
    assert sets_of(report) == ["dm", "random", "class_mean"]
    row = report.find("random", "accuracy")
    assert row.seeds == 2
    assert row.seed_list == (0, 5)
    assert row.network == "mlp-16-none"
    assert row.protocol == "toy"
    assert row.mean == pytest.approx(np.mean(row.values))
    assert row.std == pytest.approx(np.std(row.values))
    assert report.notes == []


def test_random_row_is_redrawn_and_balanced(two_seeds) -> None:
    data, _, calls = two_seeds
    drawn = [calls[f"evaluate/random/seed{s}/student"]["data"] for s in (0, 5)]
    for image, label, weight in drawn:
        np.testing.assert_array_equal(label, np.arange(4))
        np.testing.assert_array_equal(weight, np.ones(4))
        rows = data.train.image.reshape(data.train.size, -1)
        back = whiten.inverse(data.train.whitening, image).reshape(4, -1) * 255
        for one, c in zip(np.asarray(back), np.asarray(label), strict=True):
            row = int(np.argmin(np.abs(np.asarray(rows) - one).sum(1)))
            assert int(data.train.label[row]) == c
    assert (np.asarray(drawn[0][0]) != np.asarray(drawn[1][0])).any()


def test_rows_of_a_seed_start_from_the_same_network(two_seeds) -> None:
    _, _, calls = two_seeds

    def start(name: str, seed: int) -> np.ndarray:
        state = calls[f"evaluate/{name}/seed{seed}/student"]["start"]
        leaves = map(np.ravel, jax.tree.leaves(state.variables))
        return np.concatenate([*leaves, jax.random.key_data(state.key)])

    for name in ("random", "class_mean"):
        np.testing.assert_array_equal(start("dm", 0), start(name, 0))
    assert (start("dm", 0) != start("dm", 5)).all()


def test_rows_of_one_shape_share_one_program(two_seeds) -> None:
    _, _, calls = two_seeds
    assert len(calls) == 6
    assert len(programs(calls)) == 1


def test_class_mean_row_trains_on_the_means(two_seeds) -> None:
    data, _, calls = two_seeds
    image, label, _ = calls["evaluate/class_mean/seed0/student"]["data"]
    np.testing.assert_allclose(image, select.class_means(data.train).image)
    np.testing.assert_array_equal(label, np.arange(4))


def test_class_mean_row_is_for_one_image_a_class() -> None:
    data = standard_dataset()
    report = evaluate([labelled_set(data, ipc=2)], data, seeds=[0])
    assert sets_of(report) == ["dm", "random"]


@pytest.mark.parametrize("method", ["random", "class_mean"])
def test_a_baseline_is_not_repeated(method: str) -> None:
    data = standard_dataset()
    report = evaluate([labelled_set(data, ipc=1, method=method)], data, seeds=[0])
    assert sorted(sets_of(report)) == ["class_mean", "random"]


def test_a_set_is_fed_as_stored_and_paired_with_its_seed() -> None:
    data, drive = standard_dataset(), Recorder()
    sets = [labelled_set(data, shift=s, input_space="raw") for s in (0, 4)]
    evaluate(sets, data, seeds=[8, 9], drive=drive, baselines=False)
    for small, seed in zip(sets, (8, 9), strict=True):
        image, label, _ = drive.calls[f"evaluate/dm/seed{seed}/student"]["data"]
        np.testing.assert_array_equal(image, small.synthetic.image)
        np.testing.assert_array_equal(label, small.synthetic.target)


def test_soft_targets_are_learned() -> None:
    data, drive = standard_dataset(), Recorder()
    hard = labelled_set(data, ipc=3)
    soft = optax.smooth_labels(jax.nn.one_hot(hard.synthetic.target, 4), 0.1)
    small = hard._replace(
        synthetic=hard.synthetic._replace(target=soft),
        meta=describe(data, "dm", "soft"),
    )
    report = evaluate([small], data, seeds=[0], drive=drive)
    assert report.find("dm", "accuracy").mean > 0.5
    assert drive.calls["evaluate/dm/seed0/student"]["data"][1].shape == (12, 4)
    assert drive.calls["evaluate/random/seed0/student"]["data"][1].shape == (12,)


def test_images_of_the_test_split_are_whitened_as_the_set_says() -> None:
    data = standard_dataset()
    raw = whiten.from_arrays("none", {})
    other = Dataset(*(dataclasses.replace(c, whitening=raw) for c in data))
    short = protocol(train=Recipe(steps=4, optimiser=SGD))  # not yet always right
    small = labelled_set(data, ipc=1, protocol=short)
    expected = evaluate([small], data, seeds=[0, 1, 2])
    found = evaluate([small], other, seeds=[0, 1, 2])
    assert found.rows == expected.rows
    wrong = evaluate([small._replace(whitening=raw)], data, seeds=[0, 1, 2])
    assert wrong.rows[0].values != expected.rows[0].values


def test_without_train_the_report_says_why(two_seeds) -> None:
    data, with_train, _ = two_seeds
    report = evaluate(
        [labelled_set(data, ipc=1)], Dataset(None, data.test), seeds=[0, 5]
    )  # type: ignore
    assert report.rows == [r for r in with_train.rows if r.set == "dm"]
    assert "no random row" in report.notes[0]
    assert "no training split" in report.notes[0]


def test_without_test_there_are_no_figures() -> None:
    data = standard_dataset()
    report = evaluate([labelled_set(data)], Dataset(data.train, None), seeds=[0])
    assert report.rows == []
    assert "no test split" in report.notes[0]


def test_a_set_without_labels_has_no_figures() -> None:
    data = standard_dataset()
    bare = Dataset(unlabelled(data.train), unlabelled(data.test))
    small = labelled_set(bare, ipc=5, method="random")
    report = evaluate([small], bare, seeds=[0])
    assert report.rows == []
    assert "no labels" in report.notes[0]


def test_too_few_real_images_are_told() -> None:
    data = standard_dataset()
    few = Dataset(data.test, data.test)  # six of each class
    report = evaluate([labelled_set(data, ipc=8)], few, seeds=[0])
    assert sets_of(report) == ["dm"]
    assert any("8 images" in note for note in report.notes)
    assert any("not the one" in note for note in report.notes)


def test_input_that_does_not_fit_is_refused() -> None:
    data = standard_dataset()
    small = labelled_set(data)
    with pytest.raises(InputError, match="seeds"):
        evaluate([small], data, seeds=[])
    with pytest.raises(InputError, match="seeds"):
        evaluate([small], data, seeds=[1, 1])
    with pytest.raises(InputError, match="2 of them with 3 seeds"):
        evaluate([small, small], data, seeds=[1, 2, 3])
    with pytest.raises(InputError, match="0 classes"):
        evaluate([small], Dataset(data.train, unlabelled(data.test)), seeds=[0])
    other = small._replace(meta=dataclasses.replace(small.meta, method="random"))
    with pytest.raises(InputError, match="differ in method"):
        evaluate([small, other], data, seeds=[0, 1])
    wide = dataclasses.replace(data.test, image=jnp.zeros((4, 9, 8, 1), jnp.uint8))
    with pytest.raises(InputError, match=r"dataset.test: images of shape \(9, 8, 1\)"):
        evaluate([small], Dataset(data.train, wide), seeds=[0])


def test_recipe_of_minibatches_is_followed() -> None:
    data, drive = standard_dataset(), Recorder()
    recipe = dataclasses.replace(protocol().train, steps=7, batch=4)
    small = labelled_set(data, ipc=3, protocol=protocol(train=recipe))
    evaluate([small], data, seeds=[0], drive=drive, baselines=False)
    assert drive.calls["evaluate/dm/seed0/student"]["num_steps"] == 7
