"""KRR-ST as a whole: teacher paths, limits, and what its settings mean."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxdd.base import (
    Batch,
    Dataset,
    Network,
    Output,
    State,
    Synthetic,
    Task,
    TeacherAsset,
    Uniform,
    Variables,
)
from jaxdd.data.feeds import sample
from jaxdd.data.load import load
from jaxdd.errors import InputError
from jaxdd.kernels import Ridge
from jaxdd.methods.kernel.krr_ssl import KrrSslConfig, krr_ssl
from jaxdd.methods.kernel.krr_ssl_presets import SMOKE
from jaxdd.objectives.regression import krr_mse
from jaxdd.prepare import Site, prepare
from jaxdd.records import DataSpec, Recipe, Views


def digits_case(views: Views) -> tuple[Dataset, Task, KrrSslConfig]:
    data = load(DataSpec("digits", train_limit=60, test_limit=20))
    task = Task((8, 8, 1), 10, size=6, ipc=None, num_steps=10, train_size=60)
    return data, task, dataclasses.replace(SMOKE, views=views)


def asset(need, data: Dataset, budget: int) -> TeacherAsset:
    return prepare(need, data, Site(view_budget=budget)).asset


@pytest.mark.slow
def test_cached_teacher_equals_teacher_in_the_step() -> None:
    """Crop 1 and flip on digits: the table and the network give the same step."""
    data, task, config = digits_case(Views(crop=1, flip=True))
    distiller = krr_ssl(task, config)
    results = []
    for budget in (10**9, 0):
        teacher = asset(distiller.needs[0], data, budget)
        assert isinstance(teacher.table, tuple) == (budget == 0)
        assets = {"teacher": teacher}

        def step(state: State, assets=assets) -> tuple[State, dict]:
            batch = sample(distiller.feed, data.train, assets, state.key, state.step)
            return distiller.step(state, batch, assets)

        state = distiller.init(jax.random.key(3), data.train, assets)
        jitted = jax.jit(step)
        for _ in range(3):
            state, metrics = jitted(state)
        results.append((state.params, metrics["loss"]))
    for one, other in zip(*map(jax.tree.leaves, results), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-3, atol=2e-4)


def test_targets_start_at_the_teacher_of_the_unaugmented_image() -> None:
    data, task, config = digits_case(Views(crop=1))
    distiller = krr_ssl(task, config)
    tabled = asset(distiller.needs[0], data, 10**9)
    bare = TeacherAsset(tabled.variables)
    key = jax.random.key(3)
    one = distiller.init(key, data.train, {"teacher": tabled}).params
    other = distiller.init(key, data.train, {"teacher": bare}).params
    np.testing.assert_allclose(one["target"], other["target"], rtol=1e-3, atol=1e-4)


def test_raw_start_is_pixels_and_whitened_start_is_not() -> None:
    data, task, config = digits_case(Views())
    assets = {"teacher": asset(krr_ssl(task, config).needs[0], data, 10**9)}
    starts = {}
    for space in ("raw", "whitened"):
        method = krr_ssl(task, dataclasses.replace(config, init_space=space))
        starts[space] = method.init(jax.random.key(3), data.train, assets).params
    assert float(starts["raw"]["image"].min()) >= 0
    assert float(starts["whitened"]["image"].min()) < -0.3
    np.testing.assert_array_equal(starts["raw"]["target"], starts["whitened"]["target"])


def test_learning_rate_ends_at_a_thousandth() -> None:
    """Linear decay from lr to 1e-3 lr over all steps."""
    from jaxdd.training import optimisers

    outer = dataclasses.replace(KrrSslConfig().optimiser, learning_rate=1.0)
    transform = optimisers.build(outer, 100)
    state = transform.init(jnp.zeros(()))
    sizes = []
    for _ in range(101):
        update, state = transform.update(jnp.ones(()), state, jnp.zeros(()))
        sizes.append(float(-update))
    np.testing.assert_allclose(sizes[0], 1.0, rtol=1e-4)
    np.testing.assert_allclose(sizes[50], 0.5005, rtol=1e-3)
    np.testing.assert_allclose(sizes[100], 1e-3, rtol=1e-2)


def identity_network(size: int) -> Network:
    def apply(variables, image, *, train=False, key=None):
        flat = image.reshape(image.shape[0], -1)
        return Output(flat, flat), variables

    return Network(lambda key: Variables({}, {}), apply, size, size, "identity")


def test_as_many_points_as_outputs_suffice_for_a_linear_problem(x64) -> None:
    """Linear body and target, m = k, the loss reaches zero."""
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.standard_normal((40, 1, 1, 6)))
    target = image[:, 0, 0] @ jnp.asarray(rng.standard_normal((6, 3)))
    batch = Batch(image, target, jnp.arange(40), jnp.ones(40))
    objective = krr_mse(identity_network(6), Ridge(1e-9, "trace", True), bias=False)
    empty = Variables({}, {})

    def loss(params) -> jax.Array:
        synthetic = Synthetic(params["image"], params["target"], jnp.ones(3))
        return objective(synthetic, batch, empty, {}, jax.random.key(0))[0]

    params = {
        "image": jnp.asarray(rng.standard_normal((3, 1, 1, 6))),
        "target": jnp.asarray(rng.standard_normal((3, 3))),
    }
    solver = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(loss)

    def step(carry, _):
        params, state = carry
        value, grad = value_and_grad(params, state=state)
        updates, state = solver.update(
            grad, state, params, value=value, grad=grad, value_fn=loss
        )
        return (optax.apply_updates(params, updates), state), value

    (last, _), _ = jax.jit(
        lambda p: jax.lax.scan(step, (p, solver.init(p)), length=200)
    )(params)
    assert float(loss(last)) < 1e-6 * float(jnp.mean(target**2))


def test_feed_and_needs_follow_the_config() -> None:
    _, task, config = digits_case(Views(crop=2, flip=True))
    distiller = krr_ssl(task, config)
    assert distiller.feed == Uniform(16, "teacher", Views(2, True))
    assert distiller.needs[0].teacher == config.teacher
    assert distiller.needs[0].views == Views(2, True)
    assert distiller.warm_steps == config.max_age - 1


@pytest.mark.parametrize("bad", [{"ridge": 0.0}, {"ridge": -1.0}, {"pool": 0}])
def test_bad_settings_are_refused(bad: dict) -> None:
    _, task, config = digits_case(Views())
    with pytest.raises(InputError, match=r"ridge|pool"):
        krr_ssl(task, dataclasses.replace(config, **bad))


def test_more_images_than_the_data_set_are_refused() -> None:
    data, task, config = digits_case(Views())
    distiller = krr_ssl(dataclasses.replace(task, size=61), config)
    need = dataclasses.replace(
        distiller.needs[0],
        teacher=dataclasses.replace(config.teacher, recipe=Recipe(steps=1, batch=8)),
    )
    assets = {"teacher": asset(need, data, 10**9)}
    with pytest.raises(InputError, match="size=61"):
        distiller.init(jax.random.key(0), data.train, assets)
