"""The damped loss and the gradient penalty of smooth experts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Network, Output, Variables
from jaxdd.errors import InputError
from jaxdd.prepare.expert_course import course_of
from jaxdd.prepare.smooth import damped, smooth_loss
from jaxdd.records import AugmentSpec
from jaxdd.training import losses
from jaxdd.training.batches import Weighted
from tests.prepare.cases import EXPERTS, replaced, toy_dataset

SHAPE = (2, 2, 3)
SMOOTH = replaced(EXPERTS, kind="smooth", damped_epochs=2)


def linear(outputs=4):
    """Logits that are linear in the images, whose slope is therefore constant."""

    def apply(variables, image, *, train=False, key=None):
        features = image.reshape(len(image), -1)
        logits = features @ variables.params["w"]
        return Output(logits, features), variables

    def init(key):
        return Variables({"w": jax.random.normal(key, (12, outputs))}, {})

    return Network(init, apply, 12, outputs, "linear", True)


def value(loss, network, variables, images, targets):
    return loss(network, variables, (), images, targets, jax.random.key(0))[0]


def case(seed=0, rows=5):
    rng = np.random.default_rng(seed)
    images = [jnp.asarray(rng.standard_normal((rows, *SHAPE))) for _ in range(2)]
    return tuple(images), jnp.asarray(rng.integers(0, 4, rows), jnp.int32)


def test_the_factor_of_each_epoch():
    found = [float(damped(jnp.int32(epoch), 0.5, 10)) for epoch in range(12)]
    np.testing.assert_allclose(found, [*np.arange(0.5, 1, 0.05), 1, 1], rtol=1e-6)
    assert damped(jnp.int32(0), 0.5, 0) == 1


def test_the_penalty_of_a_linear_network_is_constant(x64):
    network = linear()
    variables = network.init(jax.random.key(1))
    slope = np.asarray(variables.params["w"]).sum(1).reshape(SHAPE)
    want = {
        "pixel": np.mean((np.linalg.norm(slope, axis=2) - 1) ** 2),
        "image": (np.linalg.norm(slope) - 1) ** 2,
    }
    for norm in ("pixel", "image"):
        loss = smooth_loss(2.0, norm)
        for seed in (0, 1):
            images, label = case(seed)
            factor = jnp.full(len(label), 0.6)
            logits = network.apply(variables, images[0])[0].logits
            rest = 0.6 * losses.cross_entropy(logits, label)
            found = value(loss, network, variables, images, (label, factor))
            assert found - rest == pytest.approx(2 * want[norm], rel=1e-9)


def test_without_penalty_it_is_the_damped_cross_entropy():
    network = linear()
    variables = network.init(jax.random.key(1))
    images, label = case()
    factor = jnp.full(len(label), 0.5)
    found = value(
        smooth_loss(0.0, "pixel"), network, variables, images, (label, factor)
    )
    logits = network.apply(variables, images[0])[0].logits
    assert found == pytest.approx(0.5 * float(losses.cross_entropy(logits, label)))


def test_rows_of_weight_zero_do_not_count():
    network = linear()
    variables = network.init(jax.random.key(2))
    images, label = case(3, rows=6)
    factor, weight = jnp.full(6, 0.7), jnp.asarray([1.0, 1, 1, 1, 0, 0])
    loss = smooth_loss(1.0, "pixel")
    found = value(loss, network, variables, images, Weighted((label, factor), weight))
    fewer = tuple(image[:4] for image in images)
    want = value(loss, network, variables, fewer, (label[:4], factor[:4]))
    assert found == pytest.approx(float(want), rel=1e-5)


def test_slopes_of_zero_have_a_gradient():
    network = linear()
    variables = Variables({"w": jnp.zeros((12, 4))}, {})
    images, label = case()
    targets = label, jnp.ones(len(label))
    loss = smooth_loss(1.0, "pixel")
    gradient = jax.grad(
        lambda w: value(loss, network, Variables({"w": w}, {}), images, targets)
    )(variables.params["w"])
    assert jnp.isfinite(gradient).all()


def test_the_penalty_sees_the_rows_before_augmentation():
    """The first loss of a network is that of the batch, whatever the augmentation."""
    corpus = toy_dataset().train
    found = {}
    for noise in (0.0, 0.5):
        recipe = replaced(EXPERTS.recipe, augment=AugmentSpec(noise=noise))
        experts = replaced(SMOOTH, recipe=recipe, damping=1e-9, penalty=1.0)
        course = course_of(experts, corpus)
        state = jax.jit(course.run.init)(jax.random.key(0))
        found[noise] = jax.jit(course.run.step)(state, course.data)[1]["loss"]
    assert found[0.0] == pytest.approx(float(found[0.5]), rel=1e-5)
    assert found[0.0] > 1e-3


def test_damped_steps_are_shorter():
    corpus, moved = toy_dataset().train, {}
    for damping in (0.5, 1.0):
        experts = replaced(SMOOTH, damping=damping, penalty=0.0)
        course = course_of(experts, corpus)
        state = jax.jit(course.run.init)(jax.random.key(0))
        after = jax.jit(course.run.step)(state, course.data)[0]
        moved[damping] = jax.tree.map(
            jnp.subtract, after.variables.params, state.variables.params
        )
    jax.tree.map(
        lambda half, whole: np.testing.assert_allclose(half, whole / 2, atol=1e-6),
        moved[0.5],
        moved[1.0],
    )


@pytest.mark.parametrize(
    ("name", "wrong"), [("damping", 0.0), ("penalty", -1.0), ("damped_epochs", -1)]
)
def test_smooth_settings_without_meaning(name, wrong):
    with pytest.raises(InputError, match=rf"experts\.{name}="):
        course_of(replaced(SMOOTH, **{name: wrong}), toy_dataset().train)
