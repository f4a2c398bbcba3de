"""The online pool: ages, resets, training steps, warm-up."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdd.base import Network, Output, Synthetic, Variables
from jaxdd.errors import InputError
from jaxdd.pools import Life, online


def linear_network() -> Network:
    """logits = flattened image @ w, and a statistic that counts training passes."""

    def init(key: jax.Array) -> Variables:
        return Variables({"w": jax.random.normal(key, (4, 2))}, {"n": jnp.zeros(())})

    def apply(variables, image, *, train=False, key=None):
        features = image.reshape(image.shape[0], -1)
        logits = features @ variables.params["w"]
        stats = {"n": variables.stats["n"] + train}
        return Output(logits, features), Variables(variables.params, stats)

    return Network(init, apply, 4, 2, "linear")


def make(max_age: int = 3, size: int = 4, reset: str = "paper"):
    optimiser = optax.sgd(0.1, momentum=0.9)
    return online(
        linear_network(), Life(max_age, reset), size=size, optimiser=optimiser
    )


@pytest.fixture
def synthetic(key: jax.Array) -> Synthetic:
    image = jax.random.normal(key, (3, 2, 2, 1))
    return Synthetic(image, jnp.ones((3, 2)), jnp.ones(3))


def visit(pool, state, synthetic, key, times: int, index: int = 1) -> list[int]:
    update = jax.jit(lambda k, s: pool.update(k, s, jnp.int32(index), synthetic, None))
    ages = []
    for number in range(times):
        state = update(jax.random.fold_in(key, number), state)
        ages.append(int(state.age[index]))
    return ages


def test_goals_lie_below_the_maximum_age(key: jax.Array, synthetic) -> None:
    state = make(max_age=5, size=64).init(key, {}, synthetic)
    assert set(np.asarray(state.goal).tolist()) == {1, 2, 3, 4}
    assert (np.asarray(state.age) == 0).all()


def test_warm_ages_every_network_to_its_goal_and_no_further(key, synthetic) -> None:
    pool = make(max_age=4, size=8)
    assert pool.warm is not None
    assert pool.warm_steps == 3
    state = pool.init(key, {}, synthetic)
    warm = jax.jit(lambda s: pool.warm(s, synthetic))
    for _ in range(pool.warm_steps + 2):
        state = warm(state)
    np.testing.assert_array_equal(state.age, state.goal)
    # The training passes each network really made.
    np.testing.assert_array_equal(state.variables.stats["n"], state.goal)


def test_ages_cycle_as_in_the_paper(key: jax.Array, synthetic) -> None:
    pool = make(max_age=3)
    state = pool.init(key, {}, synthetic)
    assert visit(pool, state, synthetic, key, 8) == [1, 2, 3, 0, 1, 2, 3, 0]


def test_released_code_never_trains_again(key: jax.Array, synthetic) -> None:
    pool = make(max_age=3, reset="as_released")
    state = pool.init(key, {}, synthetic)
    assert visit(pool, state, synthetic, key, 6) == [1, 2, 3, 3, 3, 3]


def test_one_update_is_one_momentum_step(key: jax.Array, synthetic) -> None:
    pool = make()
    state = pool.init(key, {}, synthetic)
    first = pool.update(key, state, jnp.int32(2), synthetic, None)
    second = pool.update(key, first, jnp.int32(2), synthetic, None)
    x, w = np.asarray(synthetic.image).reshape(3, 4), None
    w = np.asarray(state.variables.params["w"][2], np.float64)
    buffer = np.zeros_like(w)
    for _ in range(2):
        buffer = 0.9 * buffer + x.T @ (x @ w - 1) * 2 / 6
        w = w - 0.1 * buffer
    np.testing.assert_allclose(second.variables.params["w"][2], w, rtol=1e-5)
    for other in (0, 1, 3):
        np.testing.assert_array_equal(
            second.variables.params["w"][other], state.variables.params["w"][other]
        )


def test_replaced_network_is_new_with_empty_momentum(key, synthetic) -> None:
    pool = make(max_age=1)
    state = pool.init(key, {}, synthetic)
    trained = pool.update(key, state, jnp.int32(0), synthetic, None)
    renewed = pool.update(key, trained, jnp.int32(0), synthetic, None)
    old, new = (s.variables.params["w"][0] for s in (trained, renewed))
    assert not np.allclose(old, new)
    assert all(
        (np.asarray(leaf[0]) == 0).all() for leaf in jax.tree.leaves(renewed.opt)
    )
    np.testing.assert_array_equal(renewed.variables.stats["n"][0], 0)


def test_zero_age_gives_a_fresh_network_at_every_visit(key, synthetic) -> None:
    pool = make(max_age=0)
    assert pool.warm_steps == 0
    state = pool.init(key, {}, synthetic)
    assert visit(pool, state, synthetic, key, 3) == [0, 0, 0]


def test_given_ages_need_no_training(key: jax.Array, synthetic) -> None:
    """FRePo's pool: untrained networks that count as older than they are."""
    optimiser = optax.sgd(0.1)
    pool = online(
        linear_network(), Life(5, ages=(0, 2, 4)), size=3, optimiser=optimiser
    )
    assert (pool.warm, pool.warm_steps) == (None, 0)
    state = pool.init(key, {}, synthetic)
    np.testing.assert_array_equal(state.age, [0, 2, 4])
    np.testing.assert_array_equal(state.variables.stats["n"], 0)
    assert visit(pool, state, synthetic, key, 4, index=2) == [5, 0, 1, 2]


@pytest.mark.slow
def test_a_batch_of_rows_is_drawn_without_replacement(key, synthetic) -> None:
    """Two of three rows: the network learns only from those two."""

    def moved(batch: int, number: int) -> np.ndarray:
        pool = online(
            linear_network(),
            Life(9),
            size=1,
            optimiser=optax.sgd(0.1),
            loss="half_squared_error",
            batch=batch,
        )
        state = pool.init(key, {}, synthetic)
        draw = jax.random.fold_in(key, number)
        after = pool.update(draw, state, jnp.int32(0), synthetic, None)
        change = state.variables.params["w"][0] - after.variables.params["w"][0]
        return np.asarray(change) / 0.1

    x = np.asarray(synthetic.image).reshape(3, 4)
    w = np.asarray(make(size=1).init(key, {}, synthetic).variables.params["w"][0])
    slope = lambda rows: x[rows].T @ (x[rows] @ w - 1) / len(rows)
    pairs = [slope([0, 1]), slope([0, 2]), slope([1, 2])]
    seen = set()
    for number in range(8):
        errors = [np.abs(moved(2, number) - pair).max() for pair in pairs]
        seen.add(int(np.argmin(errors)))
        assert min(errors) < 1e-4
    assert len(seen) > 1
    np.testing.assert_allclose(moved(3, 0), slope([0, 1, 2]), rtol=1e-3, atol=1e-5)


def test_every_network_is_drawn(key: jax.Array, synthetic) -> None:
    pool = make()
    state = pool.init(key, {}, synthetic)
    drawn = {
        int(pool.draw(jax.random.fold_in(key, i), state, {})[0]) for i in range(50)
    }
    assert drawn == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "bad",
    [
        {"size": 0},
        {"max_age": -1},
        {"reset": "never"},
        {"batch": 0},
        {"ages": (1, 2)},
        {"ages": (0, 0, -1)},
    ],
)
def test_bad_settings_are_refused(bad: dict) -> None:
    given = {"size": 3, "batch": None, "max_age": 3} | bad
    size, batch = given.pop("size"), given.pop("batch")
    with pytest.raises(InputError):
        online(
            linear_network(),
            Life(**given),
            size=size,
            batch=batch,
            optimiser=optax.sgd(0.1),
        )
