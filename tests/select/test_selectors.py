"""Selectors: what each rule promises, and that they agree with programs of others."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import lapack

from jaxdd import select
from jaxdd.errors import InputError
from jaxdd.kernels import linear
from jaxdd.kernels.ridge import Ridge
from jaxdd.records import (
    LinearKernel,
    Mlp,
    NetworkKernel,
    RandomFeatures,
    WideKernel,
)
from jaxdd.select.leverage import leverage_scores
from jaxdd.select.selection import Group, Space
from tests.helpers import toy_corpus

ALL = {
    "herding": select.herding,
    "mmd": select.mmd,
    "k_center": select.k_center,
    **{f"gp_var {by}": rule for by, rule in select.gp_var.items()},
    "leverage": select.leverage(1e-2, 8),
}
SMALL = 20, 5


def points(seed: int = 0, shape: tuple[int, int] = SMALL) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape) + 0.5


def chosen(rule, data, budget: int, labels=None, key=0, kernel=None) -> np.ndarray:
    space = Space(jnp.asarray(data), kernel)
    found = rule(jax.random.key(key), space, labels, budget)
    return np.asarray(found.indices)


@pytest.mark.parametrize("name", ALL)
def test_laws_of_every_selector(name: str, x64) -> None:
    data, rule = points(), ALL[name]
    everything = chosen(rule, data, len(data))
    assert sorted(everything) == list(range(len(data)))  # m = n: a permutation
    np.testing.assert_array_equal(everything, chosen(rule, data, len(data)))
    few = chosen(rule, data, 4)
    np.testing.assert_array_equal(few, everything[:4])  # smaller budgets are prefixes
    shuffle = np.random.default_rng(1).permutation(len(data))
    moved = shuffle[chosen(rule, data[shuffle], 4)]
    np.testing.assert_array_equal(moved, few)  # the order of the rows does not count


@pytest.mark.parametrize("name", ["herding", "gp_var trace", "leverage"])
def test_classes_are_chosen_from_one_by_one(name: str, x64) -> None:
    data, rule = points(), ALL[name]
    labels = np.arange(20) % 3  # 7, 7 and 6 rows: padded
    found = rule(jax.random.key(0), Space(jnp.asarray(data)), labels, 4)
    rows = np.asarray(found.indices).reshape(3, 4)
    np.testing.assert_array_equal(found.order, np.tile(np.arange(4), 3))
    assert np.isfinite(np.asarray(found.scores)).all()
    np.testing.assert_array_equal(found.weights, np.ones(12))
    for c in range(3):
        own = np.flatnonzero(labels == c)
        np.testing.assert_array_equal(labels[rows[c]], c)
        if name != "leverage":  # whose draw differs where another class is larger
            alone = own[chosen(rule, data[own], 4)]
            np.testing.assert_array_equal(rows[c], alone)


def test_a_kernel_is_chosen_by_as_its_features(x64) -> None:
    data = points()
    image = jnp.asarray(data).reshape(20, 1, 5, 1)
    for name in ("mmd", "gp_var trace"):  # all that a group computes
        by_kernel = chosen(ALL[name], image, 4, kernel=linear)
        np.testing.assert_array_equal(by_kernel, chosen(ALL[name], data, 4))


def greedily(gain, count: int, size: int) -> list[int]:
    """Greedy choice written out: gain(rows so far) -> [n]."""
    rows: list[int] = []
    for _ in range(count):
        value = np.where(np.isin(np.arange(size), rows), -np.inf, gain(rows))
        rows.append(int(np.argmax(value)))
    return rows


def test_rules_are_those_of_the_definitions(x64) -> None:
    data = points()
    k, size = data @ data.T, len(data)
    diagonal, mean = np.diag(k), k.mean(1)

    def herding(rows: list[int]) -> np.ndarray:
        return mean - k[:, rows].sum(1) / (len(rows) + 1)

    def discrepancy(rows: list[int]) -> np.ndarray:
        def squared(s: list[int]) -> float:
            return k[np.ix_(s, s)].mean() - 2 * mean[s].mean()

        return -np.array([squared([*rows, x]) for x in range(size)])

    def left(rows: list[int]) -> np.ndarray:
        if not rows:
            return k
        some = k[:, rows]
        return k - some @ np.linalg.pinv(k[np.ix_(rows, rows)]) @ some.T

    def trace(rows: list[int]) -> np.ndarray:
        rest = left(rows)
        return (rest**2).sum(0) / np.maximum(np.diag(rest), 1e-12)

    count = 4  # below the rank: beyond it nothing is left to be explained
    expected = {
        "herding": herding,
        "mmd": discrepancy,
        "gp_var variance": lambda rows: np.diag(left(rows)),
        "gp_var trace": trace,
        "gp_var trace_less_variance": lambda rows: trace(rows) - np.diag(left(rows)),
    }
    for name, gain in expected.items():
        found = chosen(ALL[name], data, count).tolist()
        assert found == greedily(gain, count, size), name
    cover = chosen(ALL["k_center"], data, count).tolist()
    first = int(np.argmin(diagonal - 2 * mean))
    distance = diagonal[:, None] + diagonal[None] - 2 * k
    far = greedily(
        lambda rows: distance[:, rows].min(1) if rows else -distance[first], count, size
    )
    assert cover == far


def test_variance_pivots_are_those_of_lapack(x64) -> None:
    data = points(2, (12, 12))
    _, pivots, rank, _ = lapack.dpstrf(data @ data.T, lower=1)
    assert rank == 12
    np.testing.assert_array_equal(
        chosen(ALL["gp_var variance"], data, 12), np.asarray(pivots) - 1
    )


def test_variances_stay_at_or_above_zero_beyond_the_rank(x64) -> None:
    data = np.concatenate([points(3, (10, 3))] * 2)  # rank 3, every row twice
    found = ALL["gp_var variance"](jax.random.key(0), Space(jnp.asarray(data)), None, 9)
    scores = np.asarray(found.scores)
    assert (scores >= 0).all()
    assert (scores[3:] < 1e-12).all()
    assert (scores[:3] > 1e-3).all()
    assert len(set(np.asarray(found.indices).tolist())) == 9


def test_herding_follows_the_mean_like_one_over_t() -> None:
    """O(1/t) in the distance of the means, and below random sets of the same size."""
    data = points(4, (400, 5)).astype(np.float32)
    rows = chosen(select.herding, data, 64)
    target = data.mean(0)
    distance = [np.linalg.norm(data[rows[:t]].mean(0) - target) for t in (4, 16, 64)]
    assert max(t * d for t, d in zip((4, 16, 64), distance, strict=True)) < 8
    assert distance[2] < distance[0] / 8
    rng = np.random.default_rng(0)
    others = [data[rng.choice(400, 64, False)].mean(0) - target for _ in range(20)]
    assert distance[2] < np.mean(np.linalg.norm(others, axis=1)) / 2


def test_leverage_is_that_of_the_inverse(x64) -> None:
    data = points(5)
    k = data @ data.T
    lam = 1e-2 * np.trace(k) / 20
    tau = np.diag(k @ np.linalg.inv(k + lam * np.eye(20)))
    ones = jnp.ones(20, bool), jnp.full(20, 0.5)
    exact = Group(jnp.asarray(data), *ones, None)
    np.testing.assert_allclose(leverage_scores(exact, Ridge(1e-2), 8), tau, rtol=1e-9)
    image = exact._replace(points=exact.points.reshape(20, 1, 5, 1), kernel=linear)
    found = leverage_scores(image, Ridge(1e-2), 8)  # landmarks beyond the rank
    np.testing.assert_allclose(found, tau, rtol=1e-7)
    few = np.asarray(leverage_scores(image, Ridge(1e-2), 2))
    assert ((few > 0) & (few <= 1)).all()


def test_leverage_draws_in_proportion(x64) -> None:
    data = np.eye(4) * np.array([[3.0], [1.0], [1.0], [0.1]])
    rule = select.leverage(1.0, 8)
    first = [chosen(rule, data, 1, key=seed)[0] for seed in range(300)]
    ones = jnp.ones(4, bool), jnp.full(4, 0.5)
    group = Group(jnp.asarray(data), *ones, None)
    tau = np.asarray(leverage_scores(group, Ridge(1.0), 8))
    share = np.bincount(first, minlength=4) / 300
    np.testing.assert_allclose(share, tau / tau.sum(), atol=0.08)


def test_spaces_of_a_corpus(key: jax.Array) -> None:
    corpus = toy_corpus(per_class=5)
    network = Mlp(width=(7,))
    pixels = select.space_of(LinearKernel(), corpus, key)
    assert pixels.points.shape == (20, 64)
    for spec, width in (
        (NetworkKernel("conjugate", network), 7),
        (RandomFeatures(network, 2), 15),
    ):
        space = select.space_of(spec, corpus, key)
        assert space.points.shape == (20, width)
        assert space.kernel is None
    wide = select.space_of(WideKernel(), corpus, key)
    assert wide.kernel is not None
    assert wide.points.shape == (20, 8, 8, 1)
    found = select.herding(key, wide, corpus.label, 2)
    np.testing.assert_array_equal(
        np.asarray(corpus.label)[np.asarray(found.indices)], np.repeat(np.arange(4), 2)
    )


def test_budgets_and_settings_are_checked(key: jax.Array) -> None:
    space = Space(jnp.ones((5, 2)))
    with pytest.raises(InputError, match="budget=0"):
        select.herding(key, space, None, 0)
    with pytest.raises(InputError, match="budget=6: there are only 5"):
        select.herding(key, space, None, 6)
    with pytest.raises(InputError, match="budget=3: class 1 has only 2"):
        select.herding(key, space, np.array([0, 0, 0, 1, 1]), 3)
    with pytest.raises(InputError, match="ridge is 0"):
        select.leverage(0.0)
    with pytest.raises(InputError, match="landmarks=0"):
        select.leverage(1e-3, 0)
