"""Networks that are drawn anew at every step."""

import jax
import numpy as np

from jaxdd.base import Network, Output, Variables
from jaxdd.pools import fresh


def _network() -> Network:
    def init(key):
        return Variables({"weight": jax.random.normal(key, (3,))}, {})

    def apply(variables, image, *, train=False, key=None):
        return Output(image, image), variables

    return Network(init, apply, 3, 0, "toy")


def test_every_draw_is_a_new_initialisation(key):
    network = _network()
    pool = fresh(network)
    state = pool.init(key, {}, None)
    keys = jax.random.split(key)
    index, first = pool.draw(keys[0], state, {})
    _, second = pool.draw(keys[1], state, {})
    assert index.shape == ()
    expected = network.init(keys[0]).params["weight"]
    np.testing.assert_array_equal(first.params["weight"], expected)
    assert not np.array_equal(first.params["weight"], second.params["weight"])


def test_the_pool_keeps_nothing(key):
    pool = fresh(_network())
    state = pool.init(key, {}, None)
    assert jax.tree.leaves(state) == []
    index, _ = pool.draw(key, state, {})
    assert pool.update(key, state, index, None, None) == state
    assert pool.warm is None
    assert pool.warm_steps == 0
