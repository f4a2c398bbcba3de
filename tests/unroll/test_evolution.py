"""Evolution strategies: what they are unbiased for, and what they keep."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.errors import InputError
from jaxdd.unroll.evolution import ES, PES, Episode, TruncatedES, begin, evolution

MIXING = jnp.asarray([[0.9, 0.2], [-0.3, 0.8]])
THETA = jnp.asarray([0.4, -0.7])
SAMPLES = 4000


def linear(length: int = 6) -> Episode:
    """c' = A c + theta from a random start, and a quadratic loss at every step.

    Quadratic in all perturbations, so its smoothed gradient is its gradient.
    """
    return Episode(
        init=lambda theta, key: 0.1 * jax.random.normal(key, (2,)),
        step=lambda theta, carry, x: MIXING @ carry + theta,
        loss=lambda theta, carry, x: 0.5 * jnp.sum((carry - 1.0) ** 2),
        length=length,
    )


def exact(episode: Episode, theta: jax.Array) -> np.ndarray:
    """Gradient of the mean loss, averaged over starts (of mean zero: the loss is
    quadratic in the start, and its cross term with theta vanishes)."""

    def mean_loss(theta):
        carry, total = jnp.zeros(2), 0.0
        for _ in range(episode.length):
            carry = episode.step(theta, carry, None)
            total += episode.loss(theta, carry, None)
        return total / episode.length

    return np.asarray(jax.grad(mean_loss)(theta))


@cache
def stepper(spec, length=6):
    """A compiled call of `evolution` on the linear episode: (key, state)."""
    run = lambda key, state: evolution(linear(length), THETA, key, state, spec=spec)
    return jax.jit(run)


def started(spec, key, length=6, **options):
    """The state before its first call."""
    return begin(linear(length), THETA, key, spec, **options)


def estimates(spec, episode, windows, **options):
    """Mean estimate over some windows, for many keys: [keys,2]."""

    def one(key):
        def window(state, number):
            step_key = jax.random.fold_in(key, number)
            out = evolution(episode, THETA, step_key, state, spec=spec)
            return out[2], out[1]

        state = begin(episode, THETA, key, spec, **options)
        return jax.lax.scan(window, state, jnp.arange(windows))[1].mean(0)

    keys = jax.random.split(jax.random.key(0), SAMPLES)
    return np.asarray(jax.jit(jax.vmap(one))(keys), np.float64)


def deviations(samples: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Distance of the mean from what it should be, in standard errors."""
    error = samples.std(0, ddof=1) / np.sqrt(len(samples))
    return np.abs(samples.mean(0) - expected) / error


@pytest.mark.parametrize("window", [2, 4], ids=["dividing", "ends-inside"])
def test_pes_is_unbiased_over_the_horizon(window):
    episode = linear()
    samples = estimates(PES(0.1, window=window), episode, 12 // window, stagger=False)
    assert deviations(samples, exact(episode, THETA)).max() < 3


def test_truncated_es_is_biased_over_the_horizon():
    episode = linear()
    samples = estimates(TruncatedES(0.1, window=2), episode, 6, stagger=False)
    assert deviations(samples, exact(episode, THETA)).min() > 20


def test_truncated_es_over_the_whole_episode_is_unbiased():
    episode = linear()
    samples = estimates(TruncatedES(0.1, window=6), episode, 1, stagger=False)
    assert deviations(samples, exact(episode, THETA)).max() < 3


def test_es_is_unbiased_for_the_smoothed_loss():
    """Of a cubic, whose smoothed gradient is 3 (theta^2 + sigma^2)."""
    sigma, outer = 0.5, lambda theta, key: jnp.sum(theta**3)
    keys = jax.random.split(jax.random.key(1), SAMPLES)
    run = lambda key: evolution(outer, THETA, key, spec=ES(sigma))[1]
    samples = np.asarray(jax.jit(jax.vmap(run))(keys), np.float64)
    smoothed, plain = 3 * (THETA**2 + sigma**2), 3 * THETA**2
    assert deviations(samples, np.asarray(smoothed)).max() < 3
    assert deviations(samples, np.asarray(plain)).min() > 5


@pytest.mark.parametrize("together", [True, False])
def test_antithetic_pairs_are_exact_on_linear_functions(x64, together, key):
    """The estimate is mean_k e_k <e_k, g> / sigma^2, whatever both mates share.

    So it is linear in g through a symmetric matrix of trace mean_k |e_k|^2 / sigma^2.
    """
    spec, theta = ES(0.1, pairs=3, together=together), {"a": jnp.zeros(2), "b": 0.0}

    @jax.jit
    def estimate(slope):
        def outer(theta, key):
            own = theta["a"] @ slope[:2] + theta["b"] * slope[2]
            return own + 1e3 * jax.random.normal(key)

        found = evolution(outer, theta, key, spec=spec)[1]
        return jnp.append(found["a"], found["b"])

    matrix = np.stack([estimate(row) for row in jnp.eye(3)])
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-9)
    assert np.linalg.eigvalsh(matrix).min() > 1e-3  # three pairs span everything
    got = estimate(jnp.asarray([2.0, -1.0, 3.0]))
    np.testing.assert_allclose(got, [2.0, -1.0, 3.0] @ matrix, rtol=1e-9)


def test_value_is_the_mean_loss_of_the_mates(key):
    outer = lambda theta, key: jnp.sum(theta**2)
    value, _, state = evolution(outer, THETA, key, spec=ES(1e-3, pairs=4))
    assert float(value) == pytest.approx(float(jnp.sum(THETA**2)), rel=1e-4)
    assert state == ()


def test_windows_resume_bit_for_bit(key):
    """A state that was stored and read again goes on as if nothing had happened."""
    spec = PES(0.1, pairs=3, window=4)

    def go_on(state, first, last):
        for number in range(first, last):
            out = stepper(spec)(jax.random.fold_in(key, number), state)
            state = out[2]
        return out

    straight = go_on(started(spec, key), 0, 5)
    half = go_on(started(spec, key), 0, 2)[2]
    stored = jax.tree.map(np.asarray, half._replace(key=jax.random.key_data(half.key)))
    back = jax.tree.map(jnp.asarray, stored)
    back = back._replace(key=jax.random.wrap_key_data(back.key))
    for a, b in zip(
        jax.tree.leaves(straight), jax.tree.leaves(go_on(back, 2, 5)), strict=True
    ):
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        np.testing.assert_array_equal(a, b)


def test_losses_behind_an_end_forget_older_perturbations(key):
    spec = PES(0.1, pairs=3, window=4)
    state = started(spec, key, stagger=False)

    def both(left):
        """A window that starts so many steps before an end, with two histories."""
        one = state._replace(left=jnp.full(3, left, jnp.int32))
        other = one._replace(accumulator=one.accumulator + 7.0)
        return stepper(spec)(key, one), stepper(spec)(key, other)

    (_, first, after), (_, second, also) = both(left=0)  # an episode begins with it
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(after.accumulator, also.accumulator)
    (_, first, after), (_, second, also) = both(left=2)  # it ends inside
    assert np.abs(np.asarray(first - second)).min() > 1e-3
    np.testing.assert_array_equal(after.accumulator, also.accumulator)
    (_, _, after), (_, _, also) = both(left=5)  # it outlasts the window
    difference = also.accumulator - after.accumulator
    np.testing.assert_allclose(difference, 7.0, rtol=1e-5)


def test_mates_share_data_and_keys(key, x64):
    """Noise in the data that both add cancels in the gradient."""
    theta, spec = THETA.astype(float), PES(0.1, window=3)
    found = []
    for size in (0.0, 1e4):
        noisy = linear()._replace(
            init=lambda theta, key: jax.random.normal(key, (2,)),
            loss=lambda theta, carry, x, size=size: (
                theta[0] + size * jax.random.normal(x)
            ),
        )
        state = begin(noisy, theta, key, spec)
        run = jax.jit(lambda state, e=noisy: evolution(e, theta, key, state, spec=spec))
        found.append(run(state)[1])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
    assert np.abs(np.asarray(found[0])).max() > 0.1


def test_one_after_the_other_equals_together(key):
    specs = [PES(0.1, pairs=3, window=4, together=way) for way in (True, False)]
    states = [started(spec, key) for spec in specs]
    for a, b in zip(
        *(
            stepper(spec)(key, state)[:2]
            for spec, state in zip(specs, states, strict=True)
        ),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4)


def test_staggered_pairs_stand_at_different_places(key):
    spec = PES(0.1, pairs=3, window=4)
    for stagger, places in ((True, 3), (False, 1)):
        state = started(spec, key, stagger=stagger)
        for number in range(4):
            state = stepper(spec)(jax.random.fold_in(key, number), state)[2]
        assert len(set(np.asarray(state.step).tolist())) == places


def test_integer_leaves_stay_as_they_are(key):
    theta = {"image": THETA, "label": jnp.arange(2)}

    def outer(theta, key):
        assert theta["label"].dtype == jnp.int32
        return jnp.sum(theta["image"] * theta["label"])

    _, gradient, _ = evolution(outer, theta, key, spec=ES(0.1, pairs=2))
    assert gradient["label"].dtype == jnp.int32
    np.testing.assert_array_equal(gradient["label"], 0)
    assert np.abs(np.asarray(gradient["image"])).max() > 0


@pytest.mark.parametrize(
    ("spec", "named"),
    [
        (PES(sigma=0.0), "spec.sigma"),
        (PES(pairs=0), "spec.pairs"),
        (TruncatedES(window=-1), "spec.window"),
        (ES(), "outer"),
    ],
    ids=str,
)
def test_bad_settings_of_evolution_are_named(spec, named, key):
    with pytest.raises(InputError, match=named):
        begin(linear(), THETA, key, spec)


def test_windows_need_an_episode(key):
    with pytest.raises(InputError, match="PES takes an Episode"):
        evolution(lambda theta, key: jnp.sum(theta), THETA, key, spec=PES())
    with pytest.raises(InputError, match=r"outer\.length"):
        begin(linear(0), THETA, key, PES())
