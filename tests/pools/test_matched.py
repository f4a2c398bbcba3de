"""The pool of gradient matching: lives of networks, their training, batch norm."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import networks
from jaxdd.base import Augment, Batch, Network, Output, Synthetic, Variables
from jaxdd.errors import InputError
from jaxdd.pools import matched
from jaxdd.pools.matched import loops
from jaxdd.records import (
    ConvNet,
)
from jaxdd.training.statistics import with_batch_statistics

ROWS, CLASSES = 6, 2


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


@pytest.fixture
def synthetic(key: jax.Array) -> Synthetic:
    image = jax.random.normal(key, (ROWS, 2, 2, 1))
    return Synthetic(image, jnp.repeat(jnp.arange(CLASSES), 3), jnp.ones(ROWS))


@pytest.fixture
def real(key: jax.Array) -> Batch:
    image = jax.random.normal(key, (CLASSES, 20, 2, 2, 1))
    return Batch(image, None, None, jnp.ones(image.shape[:2]))


def visits(pool, key, synthetic, real, times: int) -> list:
    """The pool's state before the first visit and after each."""
    update = jax.jit(lambda k, s: pool.update(k, s, jnp.int32(0), synthetic, real))
    states = [pool.init(key, {}, synthetic)]
    for number in range(times):
        states.append(update(jax.random.fold_in(key, number), states[-1]))
    return states


def by_hand(w, images, labels, steps: int, rate: float) -> np.ndarray:
    """Full-batch gradient descent on the mean cross-entropy."""
    x = np.asarray(images, np.float64).reshape(len(images), -1)
    w = np.asarray(w, np.float64)
    for _ in range(steps):
        p = np.exp(x @ w)
        p /= p.sum(1, keepdims=True)
        w = w - rate * x.T @ (p - np.eye(CLASSES)[labels]) / len(x)
    return w


def test_a_network_trains_between_its_matchings_and_is_then_replaced(
    key, synthetic, real
):
    """Three matchings: twice four epochs, then a fresh network."""
    pool = matched(linear_network(), matchings=3, epochs=4, learning_rate=0.5)
    states = visits(pool, key, synthetic, real, 5)
    assert [int(s.age) for s in states] == [0, 1, 2, 0, 1, 2]
    weights = [s.variables.params["w"] for s in states]
    for before, after in ((0, 1), (1, 2), (3, 4)):
        wanted = by_hand(weights[before], synthetic.image, synthetic.target, 4, 0.5)
        np.testing.assert_allclose(weights[after], wanted, rtol=1e-5, atol=1e-6)
    fresh = linear_network().init(jax.random.fold_in(key, 2)).params["w"]
    np.testing.assert_array_equal(weights[3], fresh)
    # One pass of real images for the statistics, then four training passes.
    assert [int(s.variables.stats["n"]) for s in states] == [0, 5, 10, 0, 5, 10]


def test_one_matching_means_a_fresh_network_at_every_step(key, synthetic, real):
    pool = matched(linear_network(), matchings=1, epochs=7)
    first, second, third = visits(pool, key, synthetic, real, 2)
    assert int(third.age) == 0
    weights = [s.variables.params["w"] for s in (first, second, third)]
    assert not np.allclose(weights[0], weights[1])
    assert not np.allclose(weights[1], weights[2])
    assert int(third.variables.stats["n"]) == 0
    _, drawn = pool.draw(key, second, {})
    np.testing.assert_array_equal(drawn.params["w"], weights[1])


@pytest.mark.parametrize(("batch", "steps"), [(6, 1), (4, 2), (2, 3)])
def test_an_epoch_takes_every_row_once(batch, steps, key, synthetic, real):
    """Weights after one epoch at a vanishing rate: the mean of the batch gradients."""
    rate = 1e-3
    pool = matched(
        linear_network(), matchings=2, epochs=1, learning_rate=rate, batch=batch
    )
    before, after = visits(pool, key, synthetic, real, 1)
    assert int(after.variables.stats["n"]) == 1 + steps
    if ROWS % batch:  # the last batch weighs as much as a whole one
        return
    moved = after.variables.params["w"] - before.variables.params["w"]
    start = before.variables.params["w"]
    wanted = by_hand(start, synthetic.image, synthetic.target, 1, steps * rate) - start
    np.testing.assert_allclose(moved, wanted, atol=2e-5)


def test_groups_of_rows_are_drawn_together(key, synthetic, real):
    """Batches of two pairs out of three: pairs stay side by side, all come up."""
    seen: list[np.ndarray] = []

    def apply(params, image):
        jax.debug.callback(lambda rows: seen.append(rows), image[:, 0, 0, 0])
        return image

    watch = Augment(lambda key, n: jnp.zeros(n), apply)
    marked = synthetic._replace(
        image=jnp.broadcast_to(jnp.arange(6.0)[:, None, None, None], (6, 2, 2, 1))
    )
    pool = matched(
        linear_network(), matchings=2, epochs=1, batch=2, group=2, augment=watch
    )
    visits(pool, key, marked, real, 1)
    jax.effects_barrier()
    assert [len(rows) for rows in seen] == [4, 4]
    pairs = np.concatenate(seen).reshape(-1, 2)
    np.testing.assert_array_equal(pairs[:, 1] - pairs[:, 0], 1)
    assert set(pairs[:3, 0]) == {0, 2, 4}


def test_augmentation_of_the_training_is_drawn_for_each_image(key, synthetic, real):
    counts: list[int] = []

    def sample(key: jax.Array, n: int) -> jax.Array:
        counts.append(n)
        return jnp.zeros(n)

    op = Augment(sample, lambda params, image: 0 * image)
    pool = matched(linear_network(), matchings=2, epochs=2, augment=op)
    before, after = visits(pool, key, synthetic, real, 1)
    assert counts[-1] == ROWS
    # Images of zeros move nothing.
    for state in (before, after):
        np.testing.assert_array_equal(
            state.variables.params["w"], before.variables.params["w"]
        )


def test_statistics_come_from_sixteen_real_images_a_class(key, real, x64):
    spec = ConvNet(width=(3,), norm="batch")
    network = networks.build(spec, (2, 2, 1), CLASSES)
    variables = jax.jit(network.init)(key)
    got = with_batch_statistics(network, variables, real)
    few = real._replace(image=real.image[:, :16])
    other = real._replace(image=real.image[:, 1:])
    stats = lambda v: np.concatenate([x.ravel() for x in jax.tree.leaves(v.stats)])
    np.testing.assert_array_equal(
        stats(got), stats(with_batch_statistics(network, variables, few))
    )
    assert (
        np.abs(
            stats(got) - stats(with_batch_statistics(network, variables, other))
        ).max()
        > 1e-6
    )
    plain = Variables(variables.params, {})
    assert with_batch_statistics(network, plain, real) is plain


def test_published_loops():
    table = {1: (1, 1), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15)}
    for ipc, expected in (table | {50: (50, 10)}).items():
        assert loops(ipc) == expected
    assert loops(10, matchings=5) == (5, 50)
    assert loops(10, epochs=3) == (10, 3)
    assert loops(7, 5, 3) == (5, 3)
    with pytest.raises(InputError, match="there are 7; give both"):
        loops(7, matchings=5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"matchings": 0}, "distill.matchings=0"),
        ({"epochs": -1}, "distill.network_epochs=-1"),
        ({"learning_rate": float("nan")}, "distill.network_rate=nan"),
        ({"batch": 0}, "distill.network_batch=0"),
    ],
)
def test_senseless_numbers_are_refused(change, message):
    options = {"matchings": 2, "epochs": 1} | change
    with pytest.raises(InputError, match=message):
        matched(linear_network(), **options)
