"""How operations are combined."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.augment import policy
from jaxdd.base import Augment
from jaxdd.errors import InputError


def _plus(step: float) -> Augment:
    """Adds `step` and a number drawn per image."""
    return Augment(
        lambda key, n: jax.random.uniform(key, (n,)),
        lambda params, image: image + step + params[:, None, None, None],
    )


OPERATIONS = {"one": _plus(10.0), "two": _plus(20.0), "three": _plus(30.0)}
IMAGE = jnp.zeros((4, 2, 2, 1))


@pytest.mark.parametrize("number", range(3))
def test_one_of_applies_the_operation_of_its_token(number, key):
    op = policy.one_of(OPERATIONS)
    params = op.sample(key, 4) | {"token": jnp.array([number])}
    name = list(OPERATIONS)[number]
    expected = OPERATIONS[name].apply(params[name], IMAGE)
    np.testing.assert_array_equal(jax.jit(op.apply)(params, IMAGE), expected)
    # Under vmap the choice is a selection, of the same result.
    stacked = jax.tree.map(lambda leaf: leaf[None], params)
    np.testing.assert_array_equal(jax.vmap(op.apply)(stacked, IMAGE[None])[0], expected)


def test_one_of_each_applies_to_each_image_its_own(key):
    op = policy.one_of_each(OPERATIONS)
    params = op.sample(key, 4) | {"token": jnp.array([2, 0, 1, 2])}
    out = np.asarray(op.apply(params, IMAGE))[:, 0, 0, 0]
    np.testing.assert_array_equal(np.floor(out), [30, 10, 20, 30])
    assert len(set(out % 1)) == 4


@pytest.mark.parametrize(
    ("combine", "draws"), [(policy.one_of, 1), (policy.one_of_each, 900)]
)
def test_operations_are_equally_likely(combine, draws, key):
    token = lambda k: combine(OPERATIONS).sample(k, draws)["token"]
    drawn = np.asarray(jax.jit(jax.vmap(token))(jax.random.split(key, 900 // draws)))
    assert drawn.shape[1] == draws
    assert np.bincount(drawn.ravel(), minlength=3).min() > 240


def test_one_draw_for_each_operation_is_shared(key):
    params = policy.one_of_each(OPERATIONS).sample(key, 1)
    assert all(leaf.shape == (1,) for leaf in jax.tree.leaves(params))
    out = policy.one_of_each(OPERATIONS).apply(params, IMAGE)
    assert len(np.unique(np.asarray(out))) == 1


def test_a_strategy_keeps_its_order():
    assert list(policy.named_operations("three_one", OPERATIONS, "p")) == [
        "three",
        "one",
    ]


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("one_tow", "no operation 'tow'. Did you mean 'two'"),
        ("one__two", "no operation ''"),
        ("one_two_one", "'one' stands there twice"),
    ],
)
def test_strategies_without_meaning_are_refused(strategy, message):
    with pytest.raises(InputError, match=message):
        policy.named_operations(strategy, OPERATIONS, "p")
