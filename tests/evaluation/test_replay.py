"""Students that take the steps of a set: the loop by hand, the random row, refusals."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import networks
from jaxdd.base import Distilled, Variables
from jaxdd.errors import InputError
from jaxdd.evaluation import evaluate
from jaxdd.records import Labelled
from jaxdd.training import losses
from tests.evaluation.cases import (
    MLP,
    Recorder,
    labelled_set,
    protocol,
    standard_dataset,
)

RATES = np.array([[0.5, 0.1], [0.05, 0.3], [0.2, 0.02]], np.float32)


def _set(replay: bool = True, **changes) -> Distilled:
    plain = labelled_set(
        standard_dataset(),
        ipc=4,
        method="dd",
        protocol=protocol(labelled=Labelled(replay=replay, **changes)),
    )
    synthetic = plain.synthetic._replace(hyper={"rates": jnp.asarray(RATES)})
    return plain._replace(synthetic=synthetic)


def _by_hand(call: dict, image, label, rates) -> Variables:
    """Plain steps over two batches in turn, each with two images of every class."""
    network = networks.build(MLP, (8, 8, 1), 4)
    params = call["start"].variables.params

    def loss(params, rows):
        logits = network.apply(Variables(params, {}), image[rows])[0].logits
        return losses.cross_entropy(logits, label[rows])

    for step, rate in enumerate(np.asarray(rates).reshape(-1)):
        first = 2 * (step % 2)
        rows = np.array([4 * c + first + j for c in range(4) for j in range(2)])
        slope = jax.grad(loss)(params, rows)
        params = jax.tree.map(lambda p, g, r=float(rate): p - r * g, params, slope)
    return params


def _close(one, other) -> None:
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_replay_takes_the_steps_of_the_set():
    given, drive = _set(learning_rates=(0.01, 0.4)), Recorder()
    report = evaluate([given], standard_dataset(), seeds=[3], drive=drive)
    calls = {name: call for name, call in drive.calls.items() if "student" in name}
    own = next(call for name, call in calls.items() if "/dd/" in name)
    assert own["num_steps"] == 6
    s = given.synthetic
    _close(own["end"].variables.params, _by_hand(own, s.image, s.target, RATES))
    random = {n: c for n, c in calls.items() if "/random/" in n}
    assert len(random) == 2
    for name, call in random.items():
        rate = 0.4 if "rate0.4" in name else 0.01
        image, label = call["data"][:2]
        # The rows lie in the order of the batches; by hand they lie by classes.
        back = np.argsort(np.asarray(label), kind="stable")
        expected = _by_hand(call, image[back], label[back], np.full(6, rate))
        _close(call["end"].variables.params, expected)
    assert {row.set for row in report.rows} == {"dd", "random"}


def test_without_replay_the_recipe_is_followed():
    drive = Recorder()
    evaluate([_set(replay=False)], standard_dataset(), seeds=[3], drive=drive)
    assert {call["num_steps"] for call in drive.calls.values()} == {30}


def test_a_set_without_steps_is_trained_by_the_recipe():
    drive, given = Recorder(), _set()
    given = given._replace(synthetic=given.synthetic._replace(hyper=()))
    evaluate([given], standard_dataset(), seeds=[3], drive=drive)
    assert {call["num_steps"] for call in drive.calls.values()} == {30}


def test_images_that_do_not_fit_the_batches_are_refused():
    given = _set()
    rates = {"rates": jnp.ones((2, 3))}
    given = given._replace(synthetic=given.synthetic._replace(hyper=rates))
    with pytest.raises(InputError, match="3 batches"):
        evaluate([given], standard_dataset(), seeds=[3])


def test_ordered_batches_repeat_every_pass():
    from jaxdd.records import Recipe
    from jaxdd.training.batches import draw_rows

    recipe = Recipe(batch=2, ordered=True)
    rows = [draw_rows(recipe, jax.random.key(1), step, 6)[0] for step in range(4)]
    np.testing.assert_array_equal(np.stack(rows), [[0, 1], [2, 3], [4, 5], [0, 1]])
    shuffled = dataclasses.replace(recipe, ordered=False)
    other = [draw_rows(shuffled, jax.random.key(1), step, 6)[0] for step in range(4)]
    assert not np.array_equal(np.stack(rows), np.stack(other))
