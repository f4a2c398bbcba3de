"""The outer loss of an inner training: windows, rows, augmentation, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxdd import augment, networks, unroll
from jaxdd.base import Augment, Batch, Synthetic, Variables
from jaxdd.errors import InputError
from jaxdd.objectives import outer
from jaxdd.objectives.outer import Inner, Window, trained_loss
from jaxdd.objectives.rows import drawn_rows, ordered_rows, whole_set
from jaxdd.records import (
    AugmentSpec,
    ConvNet,
    Mlp,
)
from jaxdd.training import losses

SHAPE, CLASSES = (4, 4, 1), 3
NETWORK = networks.build(Mlp(width=(6,)), SHAPE, CLASSES)


def _given(ipc: int = 2, real: int = 12):
    rng = np.random.default_rng(0)
    target = jnp.repeat(jnp.arange(CLASSES), ipc)
    image = rng.standard_normal((len(target), *SHAPE))
    image += np.asarray(target)[:, None, None, None]
    label = jnp.asarray(rng.integers(0, CLASSES, real))
    rows = rng.standard_normal((real, *SHAPE)) + np.asarray(label)[:, None, None, None]
    batch = Batch(
        jnp.asarray(rows), label, label, jnp.ones(real), step=jnp.asarray(3, jnp.int32)
    )
    weight = jnp.ones(len(target))
    synthetic = Synthetic(jnp.asarray(image), target, weight)
    return synthetic, batch, jax.jit(NETWORK.init)(jax.random.key(1))


def _value(inner: Inner, synthetic, batch, variables, key, **options):
    objective = trained_loss(NETWORK, inner, **options)

    def loss(image):
        return objective(synthetic._replace(image=image), batch, variables, {}, key)[0]

    return jax.jit(jax.value_and_grad(loss))(synthetic.image)


def _by_hand(synthetic, batch, variables, optimiser, rate, frozen, steps):
    """The same by a Python loop, cut after `frozen` steps; for plain autodiff."""
    flat, unravel = ravel_pytree(variables.params)

    def loss(params, image, target):
        logits = NETWORK.apply(Variables(unravel(params), {}), image)[0].logits
        return losses.cross_entropy(logits, target)

    def after(image):
        carry = unroll.initial_carry(optimiser, flat)
        for step in range(frozen + steps):
            slope = jax.grad(loss)(carry.params, image, synthetic.target)
            carry = optimiser.update(slope, carry, jnp.asarray(rate))
            if step + 1 == frozen:
                carry = jax.lax.stop_gradient(carry)
        return loss(carry.params, batch.image, batch.target)

    return jax.jit(jax.value_and_grad(after))(synthetic.image)


@pytest.mark.parametrize(
    ("optimiser", "rate", "tolerance"),
    [(unroll.SGD(0.9, 0.01), 0.1, 1e-10), (unroll.Adam(), 0.02, 1e-8)],
)
@pytest.mark.parametrize("frozen", [0, 3])
def test_gradient_is_that_of_the_cut_loop(optimiser, rate, tolerance, frozen, x64, key):
    """Nothing passes the beginning of the window, nor what the optimiser knew there."""
    given = _given()
    inner = Inner(3, optimiser, rate)
    window = Window(total=8, policy="fixed", first=frozen)
    value, gradient = _value(inner, *given, key, window=window)
    expected, slope = _by_hand(*given, optimiser, rate, frozen, 3)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(
        gradient, slope, rtol=0, atol=tolerance * float(jnp.abs(slope).max())
    )


def test_window_of_the_whole_training_is_full_backpropagation(x64, key):
    """M = N: whatever the policy, and equal to no window at all."""
    given = _given()
    inner = Inner(4, unroll.SGD(), 0.2)
    plain = _value(inner, *given, key)
    for policy in ("random", "end", "fixed"):
        cut = _value(inner, *given, key, window=Window(4, policy))
        np.testing.assert_allclose(cut[0], plain[0], rtol=1e-14)
        np.testing.assert_allclose(cut[1], plain[1], rtol=1e-12, atol=1e-18)


def test_one_step_is_the_first_order_surrogate(x64, key):
    """M = 1: -rate d/dx <inner gradient, outer gradient> at the cut."""
    synthetic, batch, variables = _given()
    inner, window = Inner(1, unroll.SGD(), 0.3), Window(5, "end")
    _, gradient = _value(inner, synthetic, batch, variables, key, window=window)
    flat, unravel = ravel_pytree(variables.params)

    def loss(params, image, target):
        logits = NETWORK.apply(Variables(unravel(params), {}), image)[0].logits
        return losses.cross_entropy(logits, target)

    slope = jax.grad(loss)
    for _ in range(4):
        flat = flat - 0.3 * slope(flat, synthetic.image, synthetic.target)
    after = flat - 0.3 * slope(flat, synthetic.image, synthetic.target)
    adjoint = slope(after, batch.image, batch.target)
    expected = jax.grad(
        lambda image: -0.3 * jnp.vdot(slope(flat, image, synthetic.target), adjoint)
    )(synthetic.image)
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-15)


def test_gradient_of_a_dead_unit_is_finite(key):
    """Adam's root has an infinite slope where a gradient was always 0."""
    synthetic, batch, variables = _given()
    bias = variables.params["dense_0"]["bias"].at[0].set(-1e3)
    dense = {**variables.params["dense_0"], "bias": bias}
    dead = Variables({**variables.params, "dense_0": dense}, {})
    inner = Inner(3, unroll.Adam(), 0.01)
    window = Window(6, "fixed", 2)
    _, gradient = _value(inner, synthetic, batch, dead, key, window=window)
    assert bool(jnp.isfinite(gradient).all())
    assert float(jnp.abs(gradient).max()) > 0


def _starts(window: Window, steps: int = 3, count: int = 64) -> np.ndarray:
    """Where the windows of as many outer steps begin."""
    inner = Inner(steps, unroll.SGD(), 0.1)
    return np.array(
        [
            int(
                outer._beginning(
                    inner, window, jax.random.key(i), jnp.asarray(i, jnp.int32)
                )
            )
            for i in range(count)
        ]
    )


def test_random_windows_cover_their_range():
    found = _starts(Window(10, "random", 2))
    assert set(found) == set(range(2, 8))  # both ends, 10 - 3 = 7 included
    assert set(_starts(Window(10, "end"), count=3)) == {7}
    assert set(_starts(Window(10, "fixed", 2), count=3)) == {2}


def test_shared_windows_stay_for_their_steps():
    found = _starts(Window(40, "random", repeat=4)).reshape(-1, 4)
    assert (found == found[:, :1]).all()
    assert len(set(found[:, 0])) > 4
    again = _starts(Window(40, "random", repeat=4, seed=1)).reshape(-1, 4)
    assert not np.array_equal(found, again)


def test_expectation_over_windows_is_the_mean_of_the_cut_losses(x64):
    """The mean gradient over random beginnings against the fixed ones', 5 sigma."""
    given = _given()
    inner = Inner(2, unroll.SGD(), 0.2)
    window = Window(4, "random")
    keys = jax.random.split(jax.random.key(0), 300)
    objective = trained_loss(NETWORK, inner, window=window)
    synthetic, batch, variables = given

    def loss(image, key):
        return objective(synthetic._replace(image=image), batch, variables, {}, key)[0]

    drawn = jax.jit(
        lambda keys: jnp.mean(
            jax.lax.map(lambda k: jax.grad(loss)(synthetic.image, k), keys), 0
        )
    )(keys)
    exact = [
        _value(inner, *given, keys[0], window=Window(4, "fixed", s))[1]
        for s in range(3)
    ]
    mean = sum(exact) / 3
    spread = np.sqrt(np.mean([(e - mean) ** 2 for e in exact], 0) / len(keys))
    assert (np.abs(drawn - mean) <= 5 * spread + 1e-12).all()
    assert np.abs(exact[0] - exact[2]).max() > 1e-3 * np.abs(mean).max()


def test_paired_augmentation_is_one_draw_for_everything(key):
    """All inner steps and the real batch see the same shift."""
    seen = []

    def apply(params, image):
        seen.append(params.shape)
        return image + params[:, None, None, None]

    shift = Augment(lambda key, n: jax.random.normal(key, (n,)), apply)
    given = _given()
    paired = Inner(3, unroll.SGD(), 0.1, augment=shift, paired=True)
    value, _ = _value(paired, *given, key)
    assert set(seen) == {(1,)}
    synthetic, batch, variables = given
    _, _, key_augment, _ = jax.random.split(key, 4)
    moved = shift.sample(key_augment, 1)[0]
    plain = Inner(3, unroll.SGD(), 0.1)
    same, _ = _value(
        plain,
        synthetic._replace(image=synthetic.image + moved),
        batch._replace(image=batch.image + moved),
        variables,
        key,
    )
    np.testing.assert_allclose(value, same, rtol=1e-6)
    seen.clear()
    _value(Inner(3, unroll.SGD(), 0.1, augment=shift), *given, key)
    assert set(seen) == {(6,), (12,)}  # each image's own


def test_real_augmentation_is_differentiated(x64, key):
    """Flips and rotations of inner steps reach the images: finite differences."""
    spec = AugmentSpec(policy="dsa", strategy="flip_rotate")
    inner = Inner(2, unroll.SGD(), 0.1, augment=augment.build(spec, SHAPE))
    given = _given()
    objective = trained_loss(NETWORK, inner)

    def loss(image):
        synthetic = given[0]._replace(image=image)
        return objective(synthetic, *given[1:], {}, key)[0]

    image = given[0].image
    gradient = jax.jit(jax.grad(loss))(image)
    run = jax.jit(loss)
    rng = np.random.default_rng(1)
    for _ in range(2):
        way = rng.standard_normal(image.shape)
        slope = (run(image + 1e-6 * way) - run(image - 1e-6 * way)) / 2e-6
        np.testing.assert_allclose(jnp.vdot(gradient, way), slope, rtol=1e-5)


def test_some_classes_of_set_and_real_batch(key):
    """A step about some classes neither reads nor moves the others."""
    synthetic, _, variables = _given()
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.standard_normal((CLASSES, 4, *SHAPE)), jnp.float32)
    label = jnp.repeat(jnp.arange(CLASSES), 4).reshape(CLASSES, 4)
    batch = Batch(image, label, label, jnp.ones((CLASSES, 4)))
    inner = Inner(2, unroll.SGD(), 0.1, rows=drawn_rows(CLASSES, 2))
    value, gradient = _value(inner, synthetic, batch, variables, key, classes=2)
    moved = np.abs(np.asarray(gradient)).reshape(CLASSES, -1).max(1) > 0
    assert moved.sum() == 2
    out = int(np.argmin(moved))
    other = batch._replace(image=image.at[out].add(10.0))
    assert value == _value(inner, synthetic, other, variables, key, classes=2)[0]
    inside = batch._replace(image=image.at[(out + 1) % CLASSES].add(1.0))
    assert value != _value(inner, synthetic, inside, variables, key, classes=2)[0]


def test_attack_counts_one_class_as_another(key):
    synthetic, batch, variables = _given()
    inner = Inner(2, unroll.SGD(), 0.1)
    attacked, _ = _value(inner, synthetic, batch, variables, key, relabel=(0, 2))
    target = jnp.where(batch.target == 0, 2, batch.target)
    told = batch._replace(target=target)
    np.testing.assert_allclose(
        attacked, _value(inner, synthetic, told, variables, key)[0], rtol=1e-6
    )


def test_ordered_rows_deal_out_every_class():
    rows = ordered_rows(3, 4, 2)
    key, none = jax.random.key(0), jnp.zeros((0,), jnp.int32)
    at = [np.asarray(rows(key, jnp.asarray(t), none)) for t in range(3)]
    np.testing.assert_array_equal(at[0], [0, 1, 4, 5, 8, 9])
    np.testing.assert_array_equal(at[1], [2, 3, 6, 7, 10, 11])
    np.testing.assert_array_equal(at[2], at[0])
    assert ordered_rows(3, 4, 1) is whole_set
    with pytest.raises(InputError, match="batches=3"):
        ordered_rows(3, 4, 3)


@pytest.mark.parametrize(
    ("per_class", "classes", "group", "size"),
    [(0, 0, 1, None), (6, 0, 1, None), (2, 0, 1, 8), (2, 3, 1, 6), (3, 0, 2, 8)],
)
def test_drawn_rows(per_class, classes, group, size):
    rows, none = drawn_rows(4, 6, per_class, classes, group), jnp.zeros((0,), jnp.int32)
    draws = []
    for seed in range(8):
        found = rows(jax.random.key(seed), jnp.asarray(0), none)
        if size is None:
            assert found is None
            continue
        found = np.asarray(found)
        assert len(set(found)) == len(found) == size
        assert (np.diff(found) > 0).all()
        each = np.bincount(found // 6, minlength=4)
        assert set(each[each > 0]) == {size // (classes or 4)}
        np.testing.assert_array_equal(found[::group] % group, 0)
        draws.append(tuple(found))
    if size is not None:
        assert len(set(draws)) > 1


def test_learned_rates_of_steps_are_used(x64, key):
    """rate(set, t): the steps' own rates, with their gradients."""
    synthetic, batch, variables = _given()
    rates = jnp.array([0.3, 0.05, 0.2])
    inner = Inner(3, unroll.SGD(), lambda s, t: s.hyper["rates"][t])
    objective = trained_loss(NETWORK, inner)

    def loss(rates):
        with_rates = synthetic._replace(hyper={"rates": rates})
        return objective(with_rates, batch, variables, {}, key)[0]

    gradient, run = jax.jit(jax.grad(loss))(rates), jax.jit(loss)
    for t in range(3):
        way = jnp.zeros(3).at[t].set(1e-6)
        slope = (run(rates + way) - run(rates - way)) / 2e-6
        np.testing.assert_allclose(gradient[t], slope, rtol=1e-6)


@pytest.mark.parametrize(
    ("window", "word"),
    [
        (Window(2), "total=2"),
        (Window(8, "random", 6), "first=6"),
        (Window(8, "middle"), "policy='middle'"),
        (Window(8, repeat=0), "window_repeat=0"),
    ],
)
def test_windows_outside_the_training_are_refused(window, word):
    with pytest.raises(InputError, match=word):
        trained_loss(NETWORK, Inner(3, unroll.SGD(), 0.1), window=window)


def test_batch_norm_is_refused_by_the_outer_loss():
    spec = ConvNet(width=(4,), norm="batch")
    network = networks.build(spec, SHAPE, CLASSES)
    with pytest.raises(InputError, match="batch norm"):
        trained_loss(network, Inner(3, unroll.SGD(), 0.1))
