"""Rows of labelled sets beyond the plain ones: networks, rates, best, scores."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Dataset
from jaxdd.errors import InputError
from jaxdd.evaluation import evaluate
from jaxdd.evaluation.scores import label_scores
from jaxdd.records import AugmentSpec, Labelled, Recipe
from tests.evaluation.cases import (
    SGD,
    Recorder,
    describe,
    labelled_set,
    protocol,
    standard_dataset,
)

SHORT = Recipe(steps=6, optimiser=SGD)
CALIBRATION = "calibration_error"  # unlike accuracy, not the same by chance


def values(report, name: str, metric: str = "accuracy") -> list[float]:
    row = report.find(name, metric)
    assert row is not None
    return list(row.values)


@pytest.mark.slow
def test_other_networks_get_every_row() -> None:
    data = standard_dataset()
    asked = protocol(train=SHORT, labelled=Labelled(networks=("mlp", "convnet_d1:1")))
    report = evaluate([labelled_set(data, protocol=asked)], data, seeds=[0, 1])
    found = [(r.network, r.set, r.seeds) for r in report.rows]
    for name in ("dm", "random"):
        assert ("mlp-16-none", name, 2) in found
        assert ("mlp", name, 2) in found
        assert ("convnet_d1", name, 1) in found
    alone = evaluate([labelled_set(data, protocol=asked)], data, seeds=[1])
    assert list(report.of_seed(1)) == [
        row for row in alone.rows if row.network != "convnet_d1"
    ]
    accuracy = report.find("dm", "accuracy", "mlp")
    assert accuracy is not None
    assert accuracy.network == "mlp"


def test_another_network_trains_only_itself() -> None:
    data, store, drive = standard_dataset(), {}, Recorder()
    small = labelled_set(data, protocol=protocol(train=SHORT))
    evaluate([small], data, seeds=[0], store=store)
    more = labelled_set(
        data, protocol=protocol(train=SHORT, labelled=Labelled(networks=("mlp",)))
    )
    evaluate([more], data, seeds=[0], store=store, drive=drive)
    assert all("/mlp/" in stage for stage in drive.calls)
    assert len(drive.calls) == 2


@pytest.mark.parametrize(
    ("asked", "named"),
    [("mlpp", "Did you mean 'mlp'"), ("vgg11", "vgg11"), ("mlp:0", "at least 1")],
)
def test_networks_that_cannot_be_are_refused(asked: str, named: str) -> None:
    data = standard_dataset()
    small = labelled_set(data, protocol=protocol(labelled=Labelled(networks=(asked,))))
    with pytest.raises(InputError, match=named):
        evaluate([small], data, seeds=[0])


def test_best_is_the_best_of_the_checks() -> None:
    data, drive = standard_dataset(), Recorder()
    train = Recipe(epochs=4, batch=3, optimiser=SGD)
    asked = protocol(train=train, labelled=Labelled(check_every=1))
    small = labelled_set(data, ipc=2, protocol=asked)  # 8 images, 3 steps an epoch
    report = evaluate([small], data, seeds=[0], drive=drive, baselines=False)
    stages = [f"evaluate/dm/seed0/student/to{step}" for step in (3, 6, 9, 12)]
    assert list(drive.calls) == stages
    plain = dataclasses.replace(asked, labelled=Labelled())
    ends = []
    for epochs in (1, 2, 3, 4):
        # The rate is constant, so a shorter run is the beginning of the longer one.
        shorter = dataclasses.replace(
            plain, train=dataclasses.replace(train, epochs=epochs)
        )
        one = labelled_set(data, ipc=2, protocol=shorter)
        ends += values(evaluate([one], data, seeds=[0], baselines=False), "dm")
    assert values(report, "dm", "accuracy_best") == [max(ends)]
    assert values(report, "dm") == [ends[-1]]


def test_the_set_brings_its_learning_rate() -> None:
    data, drive = standard_dataset(), Recorder()
    made = labelled_set(
        data, protocol=protocol(train=SHORT, labelled=Labelled(own_rate=True))
    )
    fast = made.synthetic._replace(hyper={"learning_rate": jnp.asarray(0.5)})
    report = evaluate([made._replace(synthetic=fast)], data, seeds=[0], drive=drive)
    told = dataclasses.replace(
        SHORT, optimiser=dataclasses.replace(SGD, learning_rate=0.5)
    )
    expected = evaluate(
        [labelled_set(data, protocol=protocol(train=told))], data, seeds=[0]
    )
    for name in ("dm", "random"):
        assert values(report, name, CALIBRATION) == values(expected, name, CALIBRATION)
    other = evaluate([made], data, seeds=[0])  # no rate of its own: the recipe's
    assert values(other, "dm", CALIBRATION) != values(report, "dm", CALIBRATION)


def test_random_takes_the_best_of_the_rates() -> None:
    data = standard_dataset()
    rates = (1e-4, 0.1)
    asked = protocol(train=SHORT, labelled=Labelled(learning_rates=rates))
    report = evaluate([labelled_set(data, protocol=asked)], data, seeds=[0, 1])
    single = []
    for rate in rates:
        optimiser = dataclasses.replace(SGD, learning_rate=rate)
        told = dataclasses.replace(SHORT, optimiser=optimiser)
        small = labelled_set(data, protocol=protocol(train=told))
        single.append(values(evaluate([small], data, seeds=[0, 1]), "random"))
    assert values(report, "random") == [max(pair) for pair in zip(*single, strict=True)]
    plain = evaluate(
        [labelled_set(data, protocol=protocol(train=SHORT))], data, seeds=[0, 1]
    )
    assert values(report, "dm") == values(plain, "dm")


def test_the_whole_data_on_request() -> None:
    data, drive = standard_dataset(), Recorder()
    whole = Recipe(epochs=30, batch=24, optimiser=SGD)
    asked = protocol(train=SHORT, labelled=Labelled(full=whole))
    small = labelled_set(data, protocol=asked)
    report = evaluate([small], data, seeds=[0], drive=drive)
    call = drive.calls["evaluate/full/seed0/student"]
    np.testing.assert_array_equal(call["data"][0], data.train.image)
    assert call["num_steps"] == 30 * math.ceil(data.train.size / 24)
    assert values(report, "full")[0] > 0.9
    plain = evaluate(
        [labelled_set(data, protocol=protocol(train=SHORT))], data, seeds=[0]
    )
    assert plain.find("full", "accuracy") is None


def test_scores_come_from_the_rows() -> None:
    data = standard_dataset()
    train = dataclasses.replace(SHORT, augment=AugmentSpec(crop=1))
    asked = protocol(
        train=train,
        labelled=Labelled(
            ranking=True, full=Recipe(epochs=20, batch=16, optimiser=SGD)
        ),
    )
    hard = labelled_set(data, protocol=asked)
    soft = 0.8 * jax.nn.one_hot(hard.synthetic.target, 4) + 0.05
    made = hard._replace(
        synthetic=hard.synthetic._replace(target=soft),
        meta=describe(data, "dm", "soft", protocol=asked),
    )
    report = evaluate([made], data, seeds=[0, 1])
    expected = label_scores(
        real=values(report, "full"),
        synthetic_hard=values(report, "dm (hard labels)"),
        synthetic=values(report, "dm"),
        random=values(report, "random"),
    )
    for name, score in expected.items():
        np.testing.assert_allclose(values(report, "dm", name), score.values)
    gains = np.subtract(values(report, "dm"), values(report, "random"))
    plain = np.subtract(
        values(report, "dm (no augmentation)"),
        values(report, "random (no augmentation)"),
    )
    beta = 0.5 * gains + 0.5 * plain
    ars = (np.exp(beta) - 1 / math.e) / (math.e - 1 / math.e)
    np.testing.assert_allclose(values(report, "dm", "ARS"), ars)


def test_missing_rows_leave_scores_out() -> None:
    data = standard_dataset()
    small = labelled_set(
        data, protocol=protocol(train=SHORT, labelled=Labelled(ranking=True))
    )
    report = evaluate([small], data, seeds=[0])
    assert report.find("dm", "LRS") is None
    assert any("labelled.full" in note for note in report.notes)
    alone = evaluate([small], Dataset(None, data.test), seeds=[0])  # type: ignore[arg-type]
    assert alone.find("dm", "ARS") is None


def test_regression_on_classes_is_centred() -> None:
    data, drive = standard_dataset(), Recorder()
    asked = protocol(train=dataclasses.replace(SHORT, loss="mse"))
    evaluate([labelled_set(data, protocol=asked)], data, seeds=[0], drive=drive)
    target = drive.calls["evaluate/dm/seed0/student"]["data"][1]
    label = labelled_set(data).synthetic.target
    np.testing.assert_allclose(target, jax.nn.one_hot(label, 4) - 0.25)


def test_logit_losses_are_for_the_sets_own_labels() -> None:
    data, drive = standard_dataset(), Recorder()
    train = dataclasses.replace(SHORT, loss="soft_cross_entropy")
    hard = labelled_set(data, protocol=protocol(train=train))
    logits = 4.0 * jax.nn.one_hot(hard.synthetic.target, 4)
    made = hard._replace(
        synthetic=hard.synthetic._replace(target=logits),
        meta=describe(data, "dm", "soft", protocol=protocol(train=train)),
    )
    report = evaluate([made], data, seeds=[0], drive=drive)
    assert drive.calls["evaluate/random/seed0/student"]["data"][1].shape == (8,)
    assert values(report, "dm")[0] > 0.25


def test_cutmix_gets_rows_of_targets() -> None:
    data, drive = standard_dataset(), Recorder()
    train = dataclasses.replace(SHORT, augment=AugmentSpec(cutmix=1.0))
    small = labelled_set(data, protocol=protocol(train=train))
    evaluate([small], data, seeds=[0], drive=drive, baselines=False)
    assert drive.calls["evaluate/dm/seed0/student"]["data"][1].shape == (8, 4)


def test_calibration_stands_beside_accuracy() -> None:
    data = standard_dataset()
    report = evaluate([labelled_set(data, ipc=3)], data, seeds=[0])
    assert 0 < values(report, "dm", "calibration_error")[0] < 1
    assert report.find("dm", "top5") is None  # four classes
