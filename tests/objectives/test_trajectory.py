"""The distance to an expert's snapshot: closed forms, invariances, its derivatives."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxdd import augment, networks
from jaxdd.base import Batch, Segment, Synthetic
from jaxdd.objectives.trajectory import (
    StudentTraining,
    applied,
    balance,
    end_distance,
    expert_labels,
    perturbed,
)
from jaxdd.records import (
    AugmentSpec,
    ConvNet,
    Mlp,
)
from jaxdd.unroll import Backprop, Separable
from tests.helpers import finite_difference

SHAPE, CLASSES = (4, 4, 1), 3
NET = networks.build(Mlp(width=(5,)), SHAPE, CLASSES)
CONV = networks.build(ConvNet(width=(3,), norm="none", conv="stock"), SHAPE, 3)


@functools.cache
def vectors(count, network=NET):
    """Parameters of fresh networks [count,p] in float64."""
    fresh = jax.jit(jax.vmap(lambda k: ravel_pytree(network.init(k).params)[0]))
    keys = jax.random.split(jax.random.key(0), count)
    return jnp.asarray(np.asarray(fresh(keys)), jnp.float64)


def images(rows=6, seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.standard_normal((rows, *SHAPE)))


LABEL = jnp.repeat(jnp.arange(CLASSES), 2)


def value(objective, image, target, rate, start, targets, epoch=0, key=0):
    synthetic = Synthetic(
        image, target, jnp.ones(len(image)), {"learning_rate": jnp.asarray(rate)}
    )
    piece = Segment(start, targets, jnp.asarray(epoch), jnp.asarray(0))
    batch = Batch(None, None, None, None, extra=piece)
    return objective(synthetic, batch, (), {}, jax.random.key(key))[0]


def student(steps, **options):
    return StudentTraining(steps=steps, **({"batch": 6} | options))


def cross_entropy(vector, image, label):
    rows = jax.nn.log_softmax(applied(NET)(vector, image))
    return -jnp.mean(jnp.take_along_axis(rows, label[:, None], 1))


def plain(image, rate, start, target, steps, momentum=0.0, scale=1.0):
    """The same by a loop, for the whole set without augmentation."""
    theta, velocity = start, 0.0
    for _ in range(steps):
        gradient = scale * jax.grad(cross_entropy)(theta, image, LABEL)
        velocity = momentum * velocity + gradient
        theta = theta - rate * velocity
    return jnp.sum((theta - target) ** 2) / jnp.sum((start - target) ** 2)


def test_one_step_has_its_closed_form(x64):
    start, target = vectors(2)
    image, rate = images(), 0.3
    objective = end_distance(NET, student(1))
    run = lambda x, b: value(objective, x, LABEL, b, start, target[None])
    by_image, by_rate = jax.jit(jax.grad(run, (0, 1)))(image, rate)

    @jax.jit
    def closed(image):
        gradient = lambda x: jax.grad(cross_entropy)(start, x, LABEL)
        left = start - rate * gradient(image) - target
        scale = -2 / jnp.sum((start - target) ** 2)
        mixed = jax.grad(lambda x: gradient(x) @ left)(image)
        return scale * rate * mixed, scale * gradient(image) @ left

    want = closed(image)
    np.testing.assert_allclose(by_image, want[0], rtol=1e-10, atol=1e-15)
    np.testing.assert_allclose(by_rate, want[1], rtol=1e-10)


def test_a_student_that_stays_has_distance_one(x64):
    start, target = vectors(2)
    found = value(
        end_distance(NET, student(3)), images(), LABEL, 0.0, start, target[None]
    )
    assert float(found) == 1.0


def test_the_students_own_end_is_a_minimum_of_zero(x64):
    start, image, rate = vectors(1)[0], images(), 0.2
    step = jax.jit(lambda v: v - rate * jax.grad(cross_entropy)(v, image, LABEL))
    end = step(step(step(start)))
    objective = end_distance(NET, student(3))
    run = lambda x, b: value(objective, x, LABEL, b, start, end[None])
    found, (by_image, by_rate) = jax.jit(jax.value_and_grad(run, (0, 1)))(image, rate)
    assert float(found) < 1e-28
    assert float(jnp.abs(by_image).max()) < 1e-12
    assert abs(float(by_rate)) < 1e-12


def test_a_common_factor_of_all_differences_does_not_matter(x64):
    start, target = vectors(2)
    objective = end_distance(NET, student(1))
    one = value(objective, images(), LABEL, 0.1, start, target[None])
    longer = start + 3 * (target - start)
    three = value(objective, images(), LABEL, 0.3, start, longer[None])
    np.testing.assert_allclose(one, three, rtol=1e-12)


@functools.cache
def exact(steps, momentum=0.0):
    start, target = vectors(2)
    run = lambda x, b: plain(x, b, start, target, steps, momentum)
    return jax.jit(jax.value_and_grad(run, (0, 1)))(images(), 0.2)


def relative(one, other):
    return float(jnp.linalg.norm(one - other) / jnp.linalg.norm(other))


@pytest.mark.parametrize(
    ("adjoint", "momentum"),
    [
        (Backprop("none"), 0.0),
        (Backprop("step"), 0.0),
        (Backprop("nested", 2), 0.0),
        (Backprop(step="fused"), 0.0),
        (Backprop("step"), 0.9),
        (Backprop(step="fused"), 0.9),
    ],
    ids=str,
)
def test_exact_adjoints_equal_plain_differentiation(adjoint, momentum, x64):
    start, target = vectors(2)
    objective = end_distance(NET, student(4, momentum=momentum), adjoint=adjoint)
    run = lambda x, b: value(objective, x, LABEL, b, start, target[None])
    found, by = jax.jit(jax.value_and_grad(run, (0, 1)))(images(), 0.2)
    want, by_want = exact(4, momentum)
    np.testing.assert_allclose(found, want, rtol=1e-13)
    assert relative(by[0], by_want[0]) < 1e-12
    assert relative(by[1], by_want[1]) < 1e-12


def test_separable_is_exact_for_one_step_and_not_for_more(x64):
    start, target = vectors(2)

    def gradients(steps):
        objective = end_distance(NET, student(steps), adjoint=Separable())
        run = lambda x, b: value(objective, x, LABEL, b, start, target[None])
        return jax.jit(jax.grad(run, (0, 1)))(images(), 0.2)

    one, many = gradients(1), gradients(4)
    assert max(map(relative, one, exact(1)[1])) < 1e-12
    assert relative(many[0], exact(4)[1][0]) > 1e-3


def test_the_order_of_images_only_orders_their_gradients(x64):
    start, target = vectors(2)
    order = np.array([1, 0, 2, 3, 5, 4])
    objective = end_distance(NET, student(3))
    run = jax.jit(
        jax.grad(lambda x: value(objective, x, LABEL, 0.2, start, target[None]))
    )
    np.testing.assert_allclose(
        run(images()[order]), run(images())[order], rtol=1e-9, atol=1e-14
    )


def test_batches_give_the_gradient_of_what_they_do(x64):
    start, target = vectors(2)
    objective = end_distance(
        NET,
        student(4, batch=4),
        augment=augment.build(AugmentSpec(crop=1), SHAPE),
    )
    run = jax.jit(lambda x: value(objective, x, LABEL, 0.2, start, target[None]))
    for slope, inner in finite_difference(run, images(), probes=2):
        np.testing.assert_allclose(inner, slope, rtol=1e-6)


def test_a_step_computed_again_augments_as_before(x64):
    start, target = vectors(2)
    operations = augment.build(AugmentSpec(crop=1, noise=0.1), SHAPE)

    def gradient(adjoint):
        objective = end_distance(
            NET, student(5, batch=3), augment=operations, adjoint=adjoint
        )
        run = lambda x: value(objective, x, LABEL, 0.2, start, target[None], key=3)
        return jax.jit(jax.grad(run))(images())

    kept = gradient(Backprop("none"))
    assert relative(gradient(Backprop("step")), kept) < 1e-12
    assert relative(gradient(Backprop("nested")), kept) < 1e-12


def test_large_logits_of_the_class_are_the_class(x64):
    start, target = vectors(2)
    logits = 60.0 * jax.nn.one_hot(LABEL, CLASSES)
    soft = end_distance(NET, student(3), labels="logits")
    hard = end_distance(NET, student(3))
    run = lambda o, y: jax.jit(
        jax.value_and_grad(lambda x: value(o, x, y, 0.2, start, target[None]))
    )(images())
    for one, other in zip(run(soft, logits), run(hard, LABEL), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-16)


def test_gradient_by_logits_sums_to_zero_and_equals_differences(x64):
    start, target = vectors(2)
    rng = np.random.default_rng(1)
    logits = jnp.asarray(rng.standard_normal((6, CLASSES)))
    objective = end_distance(NET, student(3), labels="logits")
    run = jax.jit(lambda y: value(objective, images(), y, 0.2, start, target[None]))
    gradient = jax.grad(run)(logits)
    assert float(jnp.abs(gradient).max()) > 1e-5
    np.testing.assert_allclose(gradient.sum(1), 0, atol=1e-16)
    for slope, inner in finite_difference(run, logits, probes=2):
        np.testing.assert_allclose(inner, slope, rtol=1e-6)


def test_labels_of_the_expert_are_its_probabilities_without_derivative(x64):
    start, target = vectors(2)
    image = images()
    labels = expert_labels(applied(NET), target, image)
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-12)
    given = end_distance(NET, student(2))
    assigned = end_distance(NET, student(2), labels="expert")
    run = lambda o, y: jax.jit(
        jax.value_and_grad(lambda x: value(o, x, y, 0.2, start, target[None]))
    )(image)
    for one, other in zip(run(assigned, LABEL), run(given, labels), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.slow_cases("adaptive-0.5")
@pytest.mark.parametrize(("middle", "first"), [("agg", 1.0), ("adaptive", 0.5)])
def test_targets_in_between_are_matched_where_the_student_is(middle, first, x64):
    start, halfway, target = vectors(3)
    objective = end_distance(NET, student(5, momentum=0.9), middle=middle)
    both = jnp.stack([halfway, target])
    run = lambda x: value(objective, x, LABEL, 0.2, start, both)
    want = lambda x: (
        first * plain(x, 0.2, start, halfway, 2, 0.9)
        + plain(x, 0.2, start, target, 5, 0.9)
    )
    found, expected = (jax.jit(jax.value_and_grad(f))(images()) for f in (run, want))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-14)


def test_one_epoch_has_nothing_in_between(x64):
    start, target = vectors(2)
    run = lambda middle: value(
        end_distance(NET, student(3), middle=middle),
        *(images(), LABEL, 0.2, start, target[None]),
    )
    assert float(run("agg")) == float(run("off"))


def test_balance_weighs_late_starts_more(x64):
    log5 = lambda x: math.log(x) / math.log(5)
    want = {4: log5(8), 6: log5(10), 3: 1 / log5(9), 0: 1 / log5(12)}
    for epoch, factor in want.items():
        found = balance(jnp.asarray(epoch), 9, jnp.float64)
        np.testing.assert_allclose(found, factor, rtol=1e-12)
    assert float(balance(jnp.asarray(4), 0)) == 1.0
    start, target = vectors(2)
    objective = end_distance(NET, student(3, balance=9))
    found = value(objective, images(), LABEL, 0.2, start, target[None], epoch=6)
    scaled = plain(images(), 0.2, start, target, 3, scale=log5(10))
    np.testing.assert_allclose(found, scaled, rtol=1e-12)


def test_perturbation_moves_convolutions_within_their_size(x64):
    vector = vectors(1, CONV)[0]
    moved = perturbed(CONV, jax.random.key(1), vector, 0.5)
    flat, unravel = ravel_pytree(jax.jit(CONV.init)(jax.random.key(0)).params)
    kernel = unravel(vector.astype(flat.dtype))["conv_0"]["kernel"]
    change = unravel((moved - vector).astype(flat.dtype))
    others = jax.tree.leaves({**change, "conv_0": change["conv_0"]["bias"]})
    assert all(float(jnp.abs(leaf).max()) == 0 for leaf in others)
    size = float(jnp.linalg.norm(change["conv_0"]["kernel"]))
    assert 0 < size <= 0.5 * float(jnp.abs(kernel).max())
    # W * d / W is d times the factor, of length one half.
    ways = np.asarray(change["conv_0"]["kernel"] / kernel)
    np.testing.assert_allclose(np.linalg.norm(ways), 0.5, rtol=1e-5)


def test_perturbed_starts_are_the_start_of_the_distance_too(x64):
    start, target = vectors(2, CONV)
    found = value(
        end_distance(CONV, student(2, perturb=5.0)),
        *(images(), LABEL, 0.0, start, target[None]),
    )
    assert float(found) == 1.0
    key = jax.random.split(jax.random.key(0), 3)[2]
    assert float(jnp.abs(perturbed(CONV, key, start, 5.0) - start).max()) > 0.01
