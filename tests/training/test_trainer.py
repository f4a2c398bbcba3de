"""The training loop against hand-written loops."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdd import training
from jaxdd.base import Network, Output, Variables
from jaxdd.errors import InputError
from jaxdd.records import (
    AugmentSpec,
    Decay,
    Recipe,
    Sgd,
)
from jaxdd.training import batches

MOMENTUM = Sgd(0.05, 0.9, 1e-2, schedule=Decay("cosine"))


def _standardising_network(outputs: int = 3) -> Network:
    """A linear map behind a batch standardisation with running statistics."""

    def init(key):
        weight = jax.random.normal(key, (16, outputs)) / 4
        params = {"weight": weight, "bias": jnp.zeros(outputs)}
        return Variables(params, {"mean": jnp.zeros(16), "var": jnp.ones(16)})

    def apply(variables, image, *, train=False, key=None):
        del key
        params, stats = variables
        flat = image.reshape(image.shape[0], -1)
        if train:
            mean, var = jnp.mean(flat, 0), jnp.var(flat, 0)
            stats = {
                "mean": 0.9 * stats["mean"] + 0.1 * mean,
                "var": 0.9 * stats["var"] + 0.1 * var,
            }
        else:
            mean, var = stats["mean"], stats["var"]
        features = (flat - mean[None]) / jnp.sqrt(var + 1e-5)[None]
        logits = features @ params["weight"] + params["bias"][None]
        return Output(logits, features), Variables(params, stats)

    return Network(init, apply, 16, outputs, "standardising")


NETWORK = _standardising_network()


@pytest.fixture(scope="module")
def data():
    key_image, key_label = jax.random.split(jax.random.key(5))
    image = jax.random.normal(key_image, (20, 4, 4, 1))
    return image, jax.random.randint(key_label, (20,), 0, 3)


def _run(key, recipe, data, **options):
    source = batches.array_source(recipe)
    return training.train(key, source, NETWORK, recipe, data, **options)


def _assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def _assert_close(a, b):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-6), a, b
    )


def test_full_batch_training_reproduces_a_hand_written_loop(key, data):
    recipe = Recipe(steps=6, batch=0, optimiser=MOMENTUM)
    variables, metrics = _run(key, recipe, data)
    key_init, _ = jax.random.split(key)
    params, stats = NETWORK.init(key_init)
    buffer = jax.tree.map(jnp.zeros_like, params)
    for t in range(6):

        def loss(p, stats=stats):
            output, after = NETWORK.apply(Variables(p, stats), data[0], train=True)
            rows = optax.softmax_cross_entropy_with_integer_labels(
                output.logits, data[1]
            )
            return rows.mean(), after.stats

        (value, stats), grads = jax.value_and_grad(loss, has_aux=True)(params)
        rate = 0.05 * (1 + np.cos(np.pi * t / 6)) / 2
        buffer = jax.tree.map(
            lambda b, g, p: 0.9 * b + g + 1e-2 * p, buffer, grads, params
        )
        params = jax.tree.map(lambda p, b, rate=rate: p - rate * b, params, buffer)
        np.testing.assert_allclose(metrics["loss"][t], value, rtol=1e-5)
    _assert_close(variables, Variables(params, stats))


def test_stepwise_equals_scanned(key, data):
    recipe = Recipe(
        steps=7, batch=8, optimiser=MOMENTUM, augment=AugmentSpec(crop=1), ema=0.8
    )
    scanned, metrics = _run(key, recipe, data)
    run = training.trainer(batches.array_source(recipe), NETWORK, recipe)
    state, step, history = jax.jit(run.init)(key), jax.jit(run.step), []
    for _ in range(7):
        state, now = step(state, data)
        history.append(now["loss"])
    _assert_equal(run.finish(state), scanned)
    _assert_equal(jnp.stack(history), metrics["loss"])


def test_an_epoch_visits_every_row_once(key, data):
    recipe = Recipe(batch=5)
    source = jax.jit(batches.array_source(recipe))
    rows = (data[0], jnp.arange(20))
    drawn = [source(key, jnp.asarray(t), rows) for t in range(8)]
    first = np.concatenate([target for _, target in drawn[:4]])
    second = np.concatenate([target for _, target in drawn[4:]])
    assert sorted(first) == sorted(second) == list(range(20))
    assert list(first) != list(second)
    np.testing.assert_array_equal(drawn[0][0], data[0][drawn[0][1]])


def test_a_set_smaller_than_the_batch_is_used_whole(key, data):
    image, target = batches.array_source(Recipe(batch=64))(key, jnp.asarray(3), data)
    _assert_equal((image, target), data)


def test_rows_of_weight_zero_change_nothing(key, data):
    recipe = Recipe(steps=4, batch=0, optimiser=MOMENTUM)

    def plain(network, variables, ema, images, targets, key):
        output, after = network.apply(variables, images, train=False)
        target, weight = targets
        rows = optax.softmax_cross_entropy_with_integer_labels(output.logits, target)
        return jnp.sum(rows * weight) / jnp.sum(weight), (after, {})

    weight = jnp.ones(20).at[12:].set(0)
    full, _ = _run(key, recipe, (*data, weight), loss=plain)
    short, _ = _run(key, recipe, (data[0][:12], data[1][:12], weight[:12]), loss=plain)
    _assert_close(full, short)
    default, _ = _run(key, recipe, (*data, weight))
    unweighted, _ = _run(key, recipe, data)
    assert not np.allclose(default.params["weight"], unweighted.params["weight"])


def test_average_of_the_weights_is_used_at_test(key, data):
    recipe = Recipe(steps=3, batch=0, optimiser=MOMENTUM, ema=0.7)
    averaged, _ = _run(key, recipe, data)
    run = training.trainer(batches.array_source(recipe), NETWORK, recipe)
    state = run.init(key)
    ema = state.variables
    for _ in range(3):
        state, _ = run.step(state, data)
        ema = jax.tree.map(lambda e, v: 0.7 * e + 0.3 * v, ema, state.variables)
    _assert_close(averaged, ema)


def test_a_loss_may_keep_an_average_of_its_own(key, data):
    recipe = Recipe(steps=3, batch=0, optimiser=MOMENTUM)
    seen = []

    def loss(network, variables, ema, images, targets, key):
        output, after = network.apply(variables, images, train=True)
        behind, _ = network.apply(Variables(ema, variables.stats), images, train=True)
        return jnp.mean((output.logits - 1 - behind.logits) ** 2), (after, {})

    average = training.Average(
        lambda variables: variables.params,
        lambda ema, variables, step: jax.tree.map(
            lambda e, v: e + (v - e) / (step + 2), ema, variables.params
        ),
    )
    source = batches.array_source(recipe)
    run = training.trainer(source, NETWORK, recipe, loss=loss, average=average)
    state = run.init(key)
    mean = state.variables.params
    for step in range(3):
        seen.append(state.ema)
        state, metrics = run.step(state, data)
        mean = jax.tree.map(
            lambda e, v, step=step: e + (v - e) / (step + 2),
            mean,
            state.variables.params,
        )
    _assert_close(state.ema, mean)
    _assert_equal(run.finish(state), state.variables)
    assert float(metrics["loss"]) != 1
    assert not np.array_equal(seen[0]["weight"], seen[2]["weight"])
    trained, _ = _run(key, recipe, data, loss=loss, average=average)
    _assert_close(trained, state.variables)
    with pytest.raises(InputError, match=r"recipe\.ema"):
        training.trainer(source, NETWORK, Recipe(ema=0.5), loss=loss, average=average)


@pytest.mark.slow
def test_mapped_runs_equal_single_runs(key, data):
    recipe = Recipe(steps=4, batch=8, optimiser=MOMENTUM)
    keys = jax.random.split(key, 3)

    def one(k):
        return _run(k, recipe, data)

    mapped = jax.jit(lambda ks: jax.lax.map(one, ks))(keys)
    vectorised = jax.jit(jax.vmap(one))(keys)
    for i, k in enumerate(keys):
        alone = one(k)
        _assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], mapped), alone)
        _assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], vectorised), alone)


def test_training_starts_from_given_variables_and_keeps_them(key, data):
    recipe = Recipe(steps=2, batch=0, optimiser=MOMENTUM, ema=0.5)
    start = NETWORK.init(jax.random.key(1))
    deleting = []

    def donating_drive(step, state, num_steps, data, *, stage):
        assert stage == "train"
        deleting.append(state)
        run = jax.jit(
            lambda s, d: jax.lax.scan(lambda c, _: step(c, d), s, length=num_steps),
            donate_argnums=0,
        )
        return run(state, data)

    donated, _ = _run(key, recipe, data, start=start, drive=donating_drive)
    plain, _ = _run(key, recipe, data, start=start)
    _assert_equal(donated, plain)
    assert deleting[0].variables.params["weight"].is_deleted()
    assert not start.params["weight"].is_deleted()
    assert not np.array_equal(plain.params["weight"], start.params["weight"])


def test_equal_recipes_compile_once(key, data):
    traces = []

    def loss(network, variables, ema, images, targets, key):
        traces.append(1)
        output, after = network.apply(variables, images, train=True)
        return jnp.mean(output.logits**2), (after, {})

    for seed in range(3):
        recipe = Recipe(steps=2, batch=0, optimiser=MOMENTUM)
        _run(jax.random.key(seed), recipe, data, loss=loss)
    assert len(traces) == 1


def test_regression_learns_float_targets(key, data):
    recipe = Recipe(steps=60, optimiser=Sgd(0.3), loss="mse")
    target = data[0].reshape(20, -1)[:, :3]
    _, metrics = _run(key, recipe, (data[0], target))
    assert metrics["loss"][-1] < 0.1 * metrics["loss"][0]


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        (Recipe(steps=-1), "recipe.steps"),
        (Recipe(batch=-2), "recipe.batch"),
        (Recipe(ema=1.0), "recipe.ema"),
        (Recipe(loss="mae"), "recipe.loss"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_bad_recipes_are_named(recipe, named):
    with pytest.raises(InputError, match=named):
        training.trainer(batches.array_source(recipe), NETWORK, recipe)


def test_counting_epochs_uses_the_last_partial_batch(key, data):
    recipe = batches.in_steps(Recipe(epochs=2, batch=8), 20)
    assert recipe.steps == 6
    source = jax.jit(batches.array_source(recipe))
    rows = (data[0], jnp.arange(20))
    drawn = [source(key, jnp.asarray(t), rows)[1] for t in range(6)]
    weights = [int(d.weight.sum()) for d in drawn]
    assert weights == [8, 8, 4, 8, 8, 4]
    for epoch in (drawn[:3], drawn[3:]):
        used = [
            t for d in epoch for t in np.asarray(d.target)[np.asarray(d.weight) > 0]
        ]
        assert sorted(used) == list(range(20))


def test_an_epoch_without_remainder_has_no_weights(key, data):
    recipe = batches.in_steps(Recipe(epochs=3, batch=10), 20)
    assert recipe.steps == 6
    _, target = batches.array_source(recipe)(key, jnp.asarray(0), data)
    assert not isinstance(target, batches.Weighted)


def test_cutmix_in_a_recipe_mixes_targets(key, data):
    source = batches.array_source(Recipe(augment=AugmentSpec(cutmix=1.0)))
    target = jax.nn.one_hot(jnp.arange(20) % 3, 3)
    mixed = [source(key, jnp.asarray(t), (data[0], target))[1] for t in range(8)]
    np.testing.assert_allclose(jnp.stack(mixed).sum(-1), 1.0, rtol=1e-6)
    # A box may be empty, but not at every step.
    assert float(jnp.abs(jnp.stack(mixed) - target[None]).max()) > 0.01
