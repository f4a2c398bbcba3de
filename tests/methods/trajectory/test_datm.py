"""DATM: the gate, the schedule of starts, learned labels that reach the students."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxdd.data.feeds import draw_segments
from jaxdd.errors import InputError
from jaxdd.evaluation import evaluate
from jaxdd.methods.trajectory.datm import DatmConfig, datm
from jaxdd.records import (
    Labelled,
    Recipe,
    Sgd,
)
from tests.evaluation.cases import (
    SGD,
    describe,
    labelled_set,
    protocol,
    standard_dataset,
)
from tests.methods.trajectory.toy_experts import SETTINGS, advanced, assets, begun, task

CONFIG = DatmConfig(
    **SETTINGS,
    init="real",
    label_optimiser=Sgd(0.5, 0.9),
    ramp_from=2,
    ramp_steps=10,
    threshold=100.0,
)


def test_a_step_beyond_the_threshold_changes_nothing_but_its_number():
    free, held = datm(task(), CONFIG), dataclasses.replace(CONFIG, threshold=1e-6)
    state, _ = advanced(free, begun(free))
    after, metrics = advanced(datm(task(), held), state)
    assert float(metrics["loss"]) > 1e-6
    for one, other in zip(
        jax.tree.leaves((after.params, after.opt.inner_state)),
        jax.tree.leaves((state.params, state.opt.inner_state)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)
    assert int(after.step) == int(state.step) + 1
    moved, _ = advanced(free, state)
    changed = jax.tree.map(
        lambda a, b: float(abs(a - b).max()), moved.params, state.params
    )
    assert min(jax.tree.leaves(changed)) > 0


def test_starts_grow_from_the_first_bound_to_the_last():
    feed = datm(task(), dataclasses.replace(CONFIG, first=1)).feed

    def epochs(step):
        keys = jax.random.split(jax.random.key(0), 60)
        draw = lambda key: draw_segments(feed, key, step, 3)[1][0]
        return set(np.asarray(jax.jit(jax.vmap(draw))(keys)).tolist())

    assert epochs(0) == {1}
    assert epochs(5) == {1, 2}
    assert epochs(10) == epochs(500) == {1, 2, 3}


def test_labels_are_learned_with_their_own_optimiser():
    distiller = datm(task(), CONFIG)
    state = begun(distiller)
    frozen = dataclasses.replace(CONFIG, label_optimiser=Sgd(0.0, 0.9))
    fixed = datm(task(), frozen)
    one, _ = advanced(distiller, state)
    other, _ = advanced(fixed, state)
    np.testing.assert_array_equal(one.params["image"], other.params["image"])
    np.testing.assert_array_equal(other.params["target"], state.params["target"])
    assert float(abs(one.params["target"] - state.params["target"]).max()) > 0
    found = distiller.export(one, assets())
    np.testing.assert_array_equal(found.target, one.params["target"])
    hard = datm(task(), dataclasses.replace(CONFIG, labels="class"))
    start = begun(hard)
    assert set(start.params) == {"image", "hyper"}
    np.testing.assert_array_equal(hard.export(start, assets()).target, np.arange(4))


def test_students_learn_from_the_logits_at_the_learned_rate():
    distiller, data = datm(task(), CONFIG), standard_dataset()
    state, _ = advanced(distiller, begun(distiller))
    found = distiller.export(state, assets())

    def calibration(synthetic, loss, rate=None):
        optimiser = (
            SGD if rate is None else dataclasses.replace(SGD, learning_rate=rate)
        )
        train = Recipe(steps=6, optimiser=optimiser, loss=loss)
        asked = protocol(train=train, labelled=Labelled(own_rate=rate is None))
        made = labelled_set(data, protocol=asked)._replace(
            synthetic=synthetic, meta=describe(data, "dm", "soft", protocol=asked)
        )
        row = evaluate([made], data, seeds=[0]).find("dm", "calibration_error")
        assert row is not None
        return row.mean

    rate = float(found.hyper["learning_rate"])
    brought = calibration(found, "soft_cross_entropy")
    shares = found._replace(target=jax.nn.softmax(found.target))
    told = calibration(shares, "cross_entropy", rate)
    np.testing.assert_allclose(brought, told, rtol=1e-4)
    assert abs(brought - calibration(shares, "cross_entropy", 3 * rate)) > 1e-3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ramp_steps": -1}, "distill.ramp_steps=-1"),
        ({"ramp_from": 5}, "distill.ramp_from=5"),
        ({"threshold": -1.0}, "distill.threshold=-1.0"),
    ],
)
def test_datm_refuses(changes, message):
    with pytest.raises(InputError, match=message):
        datm(task(), dataclasses.replace(CONFIG, **changes))
