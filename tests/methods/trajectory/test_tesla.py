"""TESLA: labels that the last step's expert assigns, and what is refused."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxdd.errors import InputError
from jaxdd.methods.trajectory._matching import judge
from jaxdd.methods.trajectory.mtt import MttConfig, mtt
from jaxdd.methods.trajectory.tesla import TeslaConfig, tesla
from jaxdd.records import AdjointSpec
from tests.methods.trajectory.toy_experts import (
    SETTINGS,
    advanced,
    assets,
    batch_of,
    begun,
    gradient_of,
    task,
)


def test_assigned_labels_are_those_of_the_last_expert_and_are_exported():
    config = TeslaConfig(**SETTINGS, labels="expert")
    distiller = tesla(task(), config)
    state = begun(distiller)
    first = distiller.export(state, assets()).target
    np.testing.assert_array_equal(first, np.eye(4))
    for _ in range(2):
        before = state
        state, _ = advanced(distiller, state)
    target = batch_of(distiller, before).extra.target[-1, -1]
    logits = judge(task(), config)(target, before.params["image"])
    found = distiller.export(state, assets())
    np.testing.assert_allclose(found.target, jax.nn.softmax(logits), rtol=1e-5)
    assert float(abs(found.target - 0.25).max()) > 0.01


def test_its_gradient_is_the_separable_one_by_default():
    distiller = tesla(task(), TeslaConfig(**SETTINGS))
    config = MttConfig(**SETTINGS, adjoint=AdjointSpec("separable"))
    other = mtt(task(), config)
    state = begun(distiller)
    one, two = (gradient_of(d, state)["image"] for d in (distiller, other))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": "expert", "ema": 0.9}, "distill.ema=0.9"),
    ],
)
def test_tesla_refuses(changes, message):
    config = dataclasses.replace(TeslaConfig(**SETTINGS), **changes)
    with pytest.raises(InputError, match=message):
        tesla(task(), config)
