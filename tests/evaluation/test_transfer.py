"""Students measured on other data than their set was distilled from."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxdd import whiten
from jaxdd.base import Dataset
from jaxdd.errors import InputError
from jaxdd.evaluation import evaluate
from jaxdd.evaluation.probes import fine_tune, knn
from jaxdd.evaluation.students import seed_key
from jaxdd.records import Recipe, Representation
from jaxdd.training.examples import apply_to_all, outputs, student_network
from tests.evaluation.cases import (
    MLP,
    Recorder,
    labelled_set,
    protocol,
    representation_set,
    standard_dataset,
    unlabelled,
)
from tests.helpers import toy_corpus


def target() -> Dataset:
    """Two classes of other images, in a whitening of their own."""
    train, test = (toy_corpus(seed=s, per_class=20, classes=2) for s in (5, 6))
    whitening = whiten.fit("standard", np.asarray(train.image) // 2)
    return Dataset(
        *(
            dataclasses.replace(corpus, whitening=whitening, name="other", hash=name)
            for corpus, name in ((train, "other train"), (test, "other test"))
        )
    )


OWN = {"linear_probe", "knn", "fine_tune"}
ON_OTHER = {f"{metric} on other" for metric in OWN}


@pytest.fixture(scope="module")
def judged():
    data, drive = standard_dataset(), Recorder()
    small = representation_set(
        data, protocol=protocol(representation=Representation(full=False))
    )
    report = evaluate([small], data, seeds=[3], drive=drive, targets=[target()])
    return small, report, drive


def test_every_row_is_measured_on_both(judged) -> None:
    _, report, _ = judged
    found = {}
    for row in report.rows:
        found.setdefault(row.set, set()).add(row.metric)
    both = OWN | ON_OTHER
    assert found.pop("scratch") == both
    assert found == dict.fromkeys(
        ("krr_ssl", "random", "kmeans"), both | {"representation_mse"}
    )


def test_figures_are_those_of_the_student_on_the_target(judged) -> None:
    small, report, drive = judged
    train, test = target()
    network = student_network(MLP, (8, 8, 1), small.synthetic.target.shape[1])
    variables = drive.calls["evaluate/krr_ssl/seed3/student"]["end"].variables
    score = fine_tune(
        seed_key(3, "fine_tune"),
        network,
        variables,
        train,
        test,
        small.meta.protocol.fine_tune,
    )
    assert report.find("krr_ssl", "fine_tune on other").mean == score
    features = apply_to_all(outputs(network, "features"))
    vote = knn(
        features(variables, train),
        train.label,
        features(variables, test),
        test.label,
        neighbours=small.meta.protocol.neighbours,
    )
    assert report.find("krr_ssl", "knn on other").mean == vote


def test_labels_of_the_own_data_are_not_needed() -> None:
    data = standard_dataset()
    bare = Dataset(unlabelled(data.train), unlabelled(data.test))
    small = representation_set(
        bare, protocol=protocol(representation=Representation(full=False))
    )
    report = evaluate([small], bare, seeds=[0], targets=[target()])
    metrics = {row.metric for row in report.rows}
    assert metrics == {"representation_mse"} | ON_OTHER
    assert report.find("scratch", "fine_tune on other")


def test_labelled_sets_transfer_too() -> None:
    data = standard_dataset()
    report = evaluate([labelled_set(data)], data, seeds=[0], targets=[target()])
    assert {r.metric for r in report.rows if r.set == "scratch"} == ON_OTHER
    assert {r.metric for r in report.rows if r.set == "dm"} == {
        "accuracy",
        "calibration_error",
    } | ON_OTHER
    plain = evaluate([labelled_set(data)], data, seeds=[0])
    assert {r.set for r in plain.rows} == {"dm", "random"}
    assert plain.find("dm", "accuracy").mean == report.find("dm", "accuracy").mean


def test_recipes_of_no_steps_are_left_out() -> None:
    data = standard_dataset()
    short = protocol(
        representation=Representation(full=False),
        fine_tune=Recipe(steps=0),
        probe=Recipe(steps=0),
    )
    small = representation_set(data, protocol=short)
    report = evaluate([small], data, seeds=[0], targets=[target()])
    assert {r.metric for r in report.rows} == {
        *("representation_mse", "knn", "knn on other")
    }


def test_the_own_data_can_be_left_out() -> None:
    data = standard_dataset()
    small = representation_set(
        data, protocol=protocol(representation=Representation(False, False))
    )
    report = evaluate([small], data, seeds=[0], targets=[target()])
    metrics = {row.metric for row in report.rows}
    assert metrics == {"representation_mse"} | ON_OTHER


def test_finished_pieces_know_their_target() -> None:
    """Another target of the same name is measured anew."""
    data, store = standard_dataset(), {}
    short = protocol(
        representation=Representation(full=False),
        fine_tune=Recipe(steps=0),
        probe=Recipe(steps=0),
    )
    small = representation_set(data, protocol=short)

    def run(dataset: Dataset) -> float:
        report = evaluate(
            [small], data, seeds=[0], targets=[dataset], store=store, baselines=False
        )
        return report.find("krr_ssl", "knn on other").mean

    first = run(target())
    train, test = target()
    wrong = dataclasses.replace(test, label=1 - test.label, hash="wrong")
    assert run(Dataset(train, wrong)) == pytest.approx(1 - first)


def test_targets_that_do_not_fit_are_refused() -> None:
    data = standard_dataset()
    small = representation_set(data)
    train, test = target()
    larger = toy_corpus(side=16)
    cases = {
        r"\(16, 16, 1\).*resize": Dataset(larger, larger),
        "needs labels and a test split": Dataset(train, None),
        "needs labels": Dataset(unlabelled(train), test),
    }
    for message, dataset in cases.items():
        with pytest.raises(InputError, match=message):
            evaluate([small], data, seeds=[0], targets=[dataset])


def test_seeds_of_scratch_differ(judged) -> None:
    """The untrained row is the students' own start."""
    small, _, drive = judged
    start = drive.calls["evaluate/krr_ssl/seed3/student"]["start"].variables
    network = student_network(MLP, (8, 8, 1), small.synthetic.target.shape[1])
    train, test = target()
    score = fine_tune(
        seed_key(3, "fine_tune"),
        network,
        start,
        train,
        test,
        small.meta.protocol.fine_tune,
    )
    _, report, _ = judged
    assert report.find("scratch", "fine_tune on other").mean == score
    assert jax.tree.leaves(start)
