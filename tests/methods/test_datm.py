"""DATM: the gate, the schedule of starts, learned labels that reach the students."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxdd.base import InputError
from jaxdd.data.feeds import draw_segments
from jaxdd.methods.datm import DatmConfig, datm
from jaxdd.records import OptimiserSpec
from tests.methods.toy_experts import SETTINGS, advanced, assets, begun, task

CONFIG = DatmConfig(
    **SETTINGS,
    init="real",
    label_optimiser=OptimiserSpec("sgd", 0.5, 0.9),
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
        jax.tree.leaves((after.params, after.opt)),
        jax.tree.leaves((state.params, state.opt)),
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
    frozen = dataclasses.replace(CONFIG, label_optimiser=OptimiserSpec("sgd", 0.0, 0.9))
    fixed = datm(task(), frozen)
    one, _ = advanced(distiller, state)
    other, _ = advanced(fixed, state)
    np.testing.assert_array_equal(one.params["image"], other.params["image"])
    np.testing.assert_array_equal(other.params["target"], state.params["target"])
    assert float(abs(one.params["target"] - state.params["target"]).max()) > 0
    found = distiller.export(one, assets())
    np.testing.assert_array_equal(found.target, one.params["target"])
    hard = datm(task(), dataclasses.replace(CONFIG, labels="hard"))
    start = begun(hard)
    assert set(start.params) == {"image", "hyper"}
    np.testing.assert_array_equal(hard.export(start, assets()).target, np.arange(4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": "soft"}, "distill.labels='soft'"),
        ({"ramp_steps": -1}, "distill.ramp_steps=-1"),
        ({"ramp_from": 5}, "distill.ramp_from=5"),
        ({"threshold": 0.0}, "distill.threshold=0.0"),
    ],
)
def test_datm_refuses(changes, message):
    with pytest.raises(InputError, match=message):
        datm(task(), dataclasses.replace(CONFIG, **changes))
