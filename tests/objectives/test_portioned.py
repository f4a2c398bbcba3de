"""Steps in portions: the losses and gradients of whole steps, where it pays."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from jaxdd import augment, networks
from jaxdd.base import Batch, Segment, Synthetic
from jaxdd.devices.mesh import make_mesh, replicate, use_mesh
from jaxdd.objectives import portioned
from jaxdd.objectives.outer import Inner, trained_loss
from jaxdd.objectives.portioned import count_portions
from jaxdd.objectives.rows import drawn_rows
from jaxdd.objectives.trajectory import StudentTraining, end_distance
from jaxdd.records import AugmentSpec, ConvNet
from jaxdd.unroll import SGD, Backprop, Forward, Implicit, Separable

SHAPE, CLASSES, ROWS = (4, 4, 1), 3, 6
SPEC = ConvNet(width=(3,), norm="none", conv="stock")
NETWORK = networks.build(SPEC, SHAPE, CLASSES)


def theta():
    """Images, logits, and the student's rate."""
    rng = np.random.default_rng(0)
    image = jnp.asarray(rng.standard_normal((ROWS, *SHAPE)))
    return image, jnp.asarray(rng.standard_normal((ROWS, CLASSES))), jnp.asarray(0.2)


def synthetic(image, target, rate):
    return Synthetic(image, target, jnp.ones(ROWS), {"learning_rate": rate})


def both_ways(run, monkeypatch, mesh=None):
    """Loss and gradients with all rows at once, and with some at a time on a mesh."""
    found = []
    cut = portioned._cut
    seen = []
    monkeypatch.setattr(portioned, "_cut", lambda *a: seen.append(a[1]) or cut(*a))
    for size, around in ((ROWS, None), (2 if mesh is None else 1, mesh)):
        monkeypatch.setattr(portioned, "portion_rows", lambda *_, size=size: size)
        assert not seen
        inputs = replicate(around, theta())
        with use_mesh(around):
            found.append(jax.jit(jax.value_and_grad(run, (0, 1, 2)))(*inputs))
    assert seen, "nothing was cut"
    return found


def assert_equal(one, other):
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert float(jnp.abs(a).max()) > 1e-6
        np.testing.assert_allclose(b, a, rtol=0, atol=1e-10 * float(jnp.abs(a).max()))


@pytest.mark.slow_cases("1-whole set")
@pytest.mark.parametrize(
    ("adjoint", "student", "operations"),
    [
        (
            Backprop(),
            StudentTraining(3, ROWS, momentum=0.9, balance=9),
            AugmentSpec(policy="dsa", strategy="color_crop"),
        ),
        (
            Backprop("nested", 2),
            StudentTraining(3, 4, group=2, balance=9),
            AugmentSpec(crop=1, noise=0.1),
        ),
        (Separable(), StudentTraining(2, 4, balance=9), None),
    ],
    ids=["whole set", "chunks", "separable"],
)
@pytest.mark.parametrize("devices", [1, 2])
def test_distances_are_the_same_in_portions(
    adjoint, student, operations, devices, x64, monkeypatch
):
    """Batches of 4 leave a rest of 2 rows: a portion there has no weight at all."""
    objective = end_distance(
        NETWORK,
        student,
        augment=operations and augment.build(operations, SHAPE),
        adjoint=adjoint,
        labels="logits",
    )
    flat = ravel_pytree(jax.jit(NETWORK.init)(jax.random.key(0)).params)[0]
    start = jnp.asarray(flat, jnp.float64)
    target = start + 0.1 * jnp.sin(jnp.arange(start.size))
    piece = Segment(start, target[None], jnp.asarray(6), jnp.asarray(0))
    batch = Batch(None, None, None, None, extra=piece)

    def run(*given):
        return objective(synthetic(*given), batch, (), {}, jax.random.key(3))[0]

    assert_equal(*both_ways(run, monkeypatch))


@pytest.mark.slow
def test_outer_losses_are_the_same_in_portions(x64, monkeypatch, key):
    rng = np.random.default_rng(1)
    image, label = jnp.asarray(rng.standard_normal((5, *SHAPE))), jnp.arange(5) % 3
    batch = Batch(image, label, label, jnp.ones(5), step=jnp.asarray(0, jnp.int32))
    inner = Inner(
        2,
        SGD(0.9),
        lambda theta, number: theta.hyper["learning_rate"],
        rows=drawn_rows(CLASSES, 2, 2),
        augment=augment.build(AugmentSpec(crop=1), SHAPE),
    )
    objective = trained_loss(NETWORK, inner)
    variables = jax.jit(NETWORK.init)(jax.random.key(1))

    def run(image, target, rate):
        given = synthetic(image, jax.nn.softmax(target), rate)
        return objective(given, batch, variables, {}, key)[0]

    assert_equal(*both_ways(run, monkeypatch))


@pytest.mark.parametrize(
    ("rows", "portions"),
    [(100, 25), (50, 25), (27, 9), (25, 5), (23, 1), (10, 5), (4, 1)],
)
def test_portions_divide_the_rows(rows, portions):
    """4 rows are fastest, even numbers are near, and 23 have no divisor that is."""
    network = networks.build(ConvNet(width=(32,) * 3), (32, 32, 3), 10)
    image = jax.ShapeDtypeStruct((200, 32, 32, 3), jnp.float32)
    assert count_portions(network, image, rows) == portions
    for adjoint in (Backprop("none"), Backprop("nested"), Separable()):
        assert count_portions(network, image, rows, adjoint) == portions
    for adjoint in (Backprop(step="fused"), Backprop(step="mixed"), Implicit()):
        assert count_portions(network, image, rows, adjoint) == 1
    assert count_portions(network, image, rows, Forward()) == 1


@pytest.mark.parametrize(("rows", "portions"), [(100, 50), (20, 10), (12, 2), (25, 5)])
def test_portions_are_as_many_on_every_device(rows, portions):
    """Even numbers of rows near the fastest one; 25 rows cannot be shared."""
    network = networks.build(ConvNet(width=(32,) * 3), (32, 32, 3), 10)
    image = jax.ShapeDtypeStruct((200, 32, 32, 3), jnp.float32)
    with use_mesh(make_mesh(data=2)):
        assert count_portions(network, image, rows) == portions


def test_accelerators_take_all_rows_at_once(monkeypatch):
    network = networks.build(ConvNet(width=(32,) * 3), (32, 32, 3), 10)
    image = jax.ShapeDtypeStruct((100, 32, 32, 3), jnp.float32)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert count_portions(network, image, 100) == 1
