"""Finished pieces: an interrupted evaluation goes on, and ends the same."""

import json

import pytest

from jaxdd.evaluation import evaluate
from jaxdd.evaluation.measure import Entry, measure, one_by_one
from jaxdd.networks import network_name
from jaxdd.records import (
    ConvNet,
    Representation,
    ResNet,
)
from tests.evaluation.cases import (
    Brittle,
    Interrupted,
    Recorder,
    labelled_set,
    protocol,
    representation_set,
    standard_dataset,
)


@pytest.fixture(scope="module")
def whole():
    """An uninterrupted evaluation."""
    data, drive, store = standard_dataset(), Recorder(), {}
    small = representation_set(
        data, protocol=protocol(representation=Representation(full=False))
    )
    report = evaluate([small], data, seeds=[0, 1], drive=drive, store=store)
    return data, small, report, drive.calls, store


@pytest.mark.parametrize("writes", [0, 1, 4, 17])
def test_an_interrupted_evaluation_ends_the_same(whole, writes: int) -> None:
    data, small, report, calls, store = whole
    broken, first = Brittle(writes), Recorder()
    with pytest.raises(Interrupted):
        evaluate([small], data, seeds=[0, 1], drive=first, store=broken)
    again, second = json.loads(json.dumps(broken)), Recorder()
    resumed = evaluate([small], data, seeds=[0, 1], drive=second, store=again)
    assert resumed == report
    assert again == store
    finished = {n.rsplit("/", 1)[0] for n in broken}
    complete = [s for s in finished if f"{s}/fine_tune" in broken]
    assert len(complete) == writes // 3 or writes == 17
    for stage in second.calls:
        assert stage.rsplit("/", 1)[0] not in complete
    assert set(first.calls) | set(second.calls) == set(calls)


def test_a_finished_store_trains_nothing(whole) -> None:
    data, small, report, _, store = whole
    drive = Recorder()
    again = evaluate([small], data, seeds=[0, 1], drive=drive, store=dict(store))
    assert again == report
    assert drive.calls == {}


def test_pieces_of_another_set_are_not_taken(whole) -> None:
    data, _, report, _, store = whole
    other = representation_set(
        data, protocol=protocol(representation=Representation(full=False))
    )
    moved = other.synthetic._replace(image=other.synthetic.image + 0.5)
    other, drive, store = other._replace(synthetic=moved), Recorder(), dict(store)
    found = evaluate([other], data, seeds=[0], drive=drive, store=store)
    assert "evaluate/krr_ssl/seed0/student" in drive.calls
    value = found.find("krr_ssl", "representation_mse").mean
    assert value != report.find("krr_ssl", "representation_mse").values[0]


def test_more_seeds_go_on_from_fewer(whole) -> None:
    data, small, report, _, store = whole
    drive = Recorder()
    more = evaluate([small], data, seeds=[0, 1, 2], drive=drive, store=dict(store))
    assert all("/seed2/" in stage for stage in drive.calls)
    for row, longer in zip(report.rows, more.rows, strict=True):
        assert longer.values[:2] == row.values


def test_one_seed_of_a_report() -> None:
    data = standard_dataset()
    sets = [labelled_set(data, shift=s) for s in (0, 4)]
    report = evaluate(sets, data, seeds=[3, 4])
    alone = evaluate([sets[1]], data, seeds=[4])
    assert list(report.of_seed(1)) == alone.rows
    assert report.find("dm", "novel") is None


def test_network_names() -> None:
    assert network_name(ConvNet()) == "convnet-128-128-128-instance"
    short = ConvNet(width=(32,), depth=3, norm="batch")
    assert network_name(short) == "convnet-32-32-32-batch"
    assert network_name(ResNet("resnet18", norm="batch")) == "resnet18-batch"


def test_what_is_not_trained_together_can_be_measured_in_groups() -> None:
    """As the regressions beside students that are trained two at a time."""
    made = one_by_one(lambda position, stage: 10 + position)
    entry = Entry("set", made, {"task": lambda student, seed, stage: {"x": student}})
    for together in (1, 2, 3):
        (row,) = measure(
            [entry],
            [0, 1, 2],
            protocol(representation=Representation(full=False)),
            store={},
            fingerprints=["a", "b", "c"],
            together=together,
        )
        assert row.values == (10, 11, 12)
