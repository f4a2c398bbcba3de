"""AST: without its additions it is MTT; what they ask of the feed; what is refused."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxdd.errors import InputError
from jaxdd.methods.trajectory.ast import AstConfig, ast
from jaxdd.methods.trajectory.mtt import MttConfig, mtt
from jaxdd.records import AdjointSpec
from tests.methods.trajectory.toy_experts import (
    SETTINGS,
    advanced,
    begun,
    gradient_of,
    task,
)

OFF = AstConfig(
    **SETTINGS, init="real", momentum=0.0, middle="off", balance=False, perturb=0.0
)


def test_without_its_additions_it_is_mtt_to_the_bit():
    distiller, plain = ast(task(), OFF), mtt(task(), MttConfig(**SETTINGS))
    state, other = begun(distiller), begun(plain)
    for _ in range(2):
        state, _ = advanced(distiller, state)
        other, _ = advanced(plain, other)
    for one, two in zip(
        jax.tree.leaves(state.params), jax.tree.leaves(other.params), strict=True
    ):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    "change", [{"momentum": 0.9}, {"middle": "agg"}, {"balance": True}], ids=str
)
def test_every_addition_changes_the_gradient(change):
    plain = ast(task(), OFF)
    state = begun(plain)
    changed = ast(task(), dataclasses.replace(OFF, **change))
    one, other = (gradient_of(d, state)["image"] for d in (plain, changed))
    assert float(abs(one - other).max()) > 1e-7


def test_targets_in_between_come_with_the_feed():
    assert ast(task(), dataclasses.replace(OFF, middle="adaptive")).feed.every
    assert not ast(task(), OFF).feed.every


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"momentum": 1.0}, "distill.momentum=1.0"),
        ({"perturb": -1.0}, "distill.perturb=-1.0"),
        ({"middle": "agg", "inner_steps": 1}, "distill.inner_steps=1"),
        ({"momentum": 0.9, "adjoint": AdjointSpec("separable")}, "'separable'"),
    ],
)
def test_ast_refuses(changes, message):
    with pytest.raises(InputError, match=message):
        ast(task(), dataclasses.replace(OFF, **changes))
