"""The linearised inner problem of RCIG and the gradient through its solution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import networks
from jaxdd.base import Batch, Synthetic, Variables
from jaxdd.errors import InputError
from jaxdd.kernels import Ridge
from jaxdd.objectives.implicit import ImplicitSettings, implicit_krr
from jaxdd.objectives.linearised import (
    Solver,
    body_of,
    inner_problem,
    minimise,
    trend,
)
from jaxdd.records import (
    ConvNet,
    Softplus,
)
from tests.objectives.toy_network import in_float64, toy_network

SHAPE, CLASSES, ROWS, REAL, LAM = (4, 4, 1), 3, 3, 5, 0.2
SPEC = ConvNet(width=(2, 3), norm="none", conv="stock", activation=Softplus(5.0))
NETWORK = networks.build(SPEC, SHAPE, CLASSES)
EXACT = Solver("cg", 200, 200)


@pytest.fixture(scope="module")
def setting():
    """Variables, (image, target, hyper), a batch, in float64."""
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        variables = in_float64(NETWORK.init(jax.random.key(0)))
        learned = (
            jnp.asarray(rng.standard_normal((ROWS, *SHAPE))),
            # The margins of two rows count, that of the last is met.
            jnp.asarray([[0.3, 0.2, -0.4], [0.0, 0.1, -0.1], [-0.5, 0.0, 0.6]]),
            {"log_temperature": jnp.asarray(0.7)},
        )
        image = jnp.asarray(rng.standard_normal((REAL, *SHAPE)))
        batch = Batch(image, jnp.array([0, 1, 2, 0, 1]), jnp.arange(5), jnp.ones(5))
        return variables, learned, batch


def plain_inner(weights_change, learned, body):
    """The inner loss by its definition: the least value over the last layer."""
    image, target, _ = learned
    image = jnp.concatenate([image, image[:, :, ::-1]])
    target = jnp.concatenate([target, target])
    at = lambda w: body.apply(w, image)
    (_, f), (moved, _) = jax.jvp(at, (body.start,), (weights_change,))
    rest = target - moved
    last = jnp.linalg.solve(f.T @ f + LAM * jnp.eye(f.shape[1]), f.T @ rest)
    whole = jnp.sum((rest - f @ last) ** 2) + LAM * jnp.sum(last**2)
    return (whole + LAM * jnp.sum(weights_change**2)) / (2 * target.size)


def plain_outer(weights_change, learned, body, batch):
    image, target, hyper = learned
    image = jnp.concatenate([image, image[:, :, ::-1]])
    target = jnp.concatenate([target, target])
    push = lambda x: jax.jvp(
        lambda w: body.apply(w, x), (body.start,), (weights_change,)
    )
    (_, f_s), (moved_s, _) = push(image)
    (_, f_b), (moved_b, _) = push(batch.image)
    gram = f_s @ f_s.T + LAM * jnp.eye(len(f_s))
    prediction = moved_b + f_b @ f_s.T @ jnp.linalg.solve(gram, target - moved_s)
    logits = jnp.exp(hyper["log_temperature"]) * prediction
    error = -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(REAL), batch.target])
    ordered = jnp.sort(target, 1)
    held = jnp.minimum(ordered[:, -1] - ordered[:, -2], 0.5 / CLASSES)
    return error - jnp.mean(held)


def dense_gradient(setting):
    """Both terms, from a dense Hessian; only the weights outside of the last kernel."""
    variables, learned, batch = setting
    body = body_of(NETWORK, variables)
    free = np.flatnonzero(body.moved)
    place = lambda part: jnp.zeros_like(body.start).at[free].set(part)
    inner = lambda part, learned: plain_inner(place(part), learned, body)
    outer = lambda part, learned: plain_outer(place(part), learned, body, batch)
    zero = jnp.zeros(len(free))
    hessian = jax.hessian(inner)(zero, learned)
    best = -jnp.linalg.solve(hessian, jax.grad(inner)(zero, learned))
    loss, (slope, direct) = jax.value_and_grad(outer, (0, 1))(best, learned)
    vector = jnp.linalg.solve(hessian, slope)
    through = jax.grad(lambda s: -jnp.vdot(vector, jax.grad(inner)(best, s)))(learned)
    return loss, direct, through


@pytest.fixture(scope="module")
def dense(setting):
    with jax.enable_x64(True):
        return jax.jit(lambda: dense_gradient(setting))()


def gradient_of(setting, **settings):
    variables, learned, batch = setting
    given = ImplicitSettings(solver=EXACT, mirror=True, **settings)
    objective = implicit_krr(NETWORK, LAM, CLASSES, given)

    @jax.jit
    @jax.value_and_grad
    def run(learned):
        image, target, hyper = learned
        synthetic = Synthetic(image, target, jnp.ones(ROWS), hyper)
        return objective(synthetic, batch, variables, {}, jax.random.key(0))[0]

    return run(learned)


def test_implicit_gradient_equals_a_dense_solve(x64, setting, dense):
    value, gradient = gradient_of(setting, clip=False, chunk_synthetic=2, chunk_real=3)
    loss, direct, through = dense
    np.testing.assert_allclose(value, loss, rtol=1e-10)
    parts = zip(*map(jax.tree.leaves, (gradient, direct, through)), strict=True)
    for found, one, other in parts:
        size = float(jnp.abs(one + other).max())
        np.testing.assert_allclose(found, one + other, rtol=1e-6, atol=1e-6 * size)
    # Or the test would not notice a missing term.
    assert float(jnp.linalg.norm(through[0])) > 0.05 * float(jnp.linalg.norm(direct[0]))


def test_clipping_shrinks_the_implicit_term_of_a_leaf(x64, setting, dense):
    _, gradient = gradient_of(setting, clip=True)
    _, direct, through = dense
    for name, place in (("image", 0), ("target", 1)):
        norms = [float(jnp.linalg.norm(part[place])) for part in (direct, through)]
        expected = direct[place] + through[place] * min(1, norms[0] / norms[1])
        np.testing.assert_allclose(
            gradient[place], expected, rtol=1e-5, atol=1e-8, err_msg=name
        )


def test_written_out_products_equal_those_of_the_plain_loss(x64, setting):
    variables, learned, _ = setting
    body = body_of(NETWORK, variables, "as_released")
    image, target, _ = learned
    image = jnp.concatenate([image, image[:, :, ::-1]])
    target = jnp.concatenate([target, target])
    rng = np.random.default_rng(1)
    change, vector = (jnp.asarray(rng.standard_normal(body.start.shape)) for _ in "ab")

    @jax.jit
    def run():
        problem = inner_problem(body, image, target, Ridge(LAM, "none"))
        inner = lambda change: plain_inner(change, learned, body)
        slope, product = jax.jvp(jax.grad(inner), (change,), (vector,))
        ours = problem.value(change), problem.gradient(change), problem.product(vector)
        steps = minimise(problem, Solver("adam", 30), 1e-2)[1]
        return ours, (inner(change), slope, product), steps

    ours, theirs, values = run()
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-12)
    assert int(trend(values)) == 1


def test_trend_tells_falls_from_rises():
    of = lambda *values: int(trend(jnp.array(values)))
    assert of(3.0, 2.0, 1.0) == 1
    assert of(3.0, 1.0, 2.0) == 0
    assert of(3.0, 1.0, 4.0) == -1


def test_a_network_without_a_head_is_refused():
    toy = toy_network((2,), SHAPE, CLASSES)
    params = {"body": jnp.ones(3)}
    with pytest.raises(InputError, match="head"):
        body_of(toy, Variables(params, {}))
