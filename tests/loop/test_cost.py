"""Cost estimates against hand counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxdd.devices.mesh import make_mesh
from jaxdd.loop.cost import count_flops, materialise, memory, seconds_per_step
from tests.loop.toy import make_step, toy_data, toy_state

F32 = jnp.float32


def shape(*sizes: int, dtype=F32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, dtype)


SQUARE = shape(4, 4)
ONCE = 2 * 4**3


@jax.custom_vjp
def product(x):
    return x @ x


product.defvjp(lambda x: (x @ x, x), lambda x, g: (g @ x.T + x.T @ g,))


@jax.custom_jvp
def other_product(x):
    return x @ x


other_product.defjvp(lambda x, t: (x[0] @ x[0], t[0] @ x[0] + x[0] @ t[0]))


def scanned(x):
    return lax.scan(lambda c, _: (c @ x, None), x, length=7)[0]


def nested(x):
    return lax.scan(lambda c, _: (scanned(c) @ x, None), x, length=3)[0]


def branching(x):
    return lax.cond(x.sum() > 0, lambda y: y @ y @ y, lambda y: y @ y, x)


def counted(x):
    return lax.while_loop(lambda c: c[0] < 9, lambda c: (c[0] + 1, c[1] @ x), (2, x))


def counted_by_two(x):
    return lax.while_loop(lambda c: c[0] < 9, lambda c: (c[0] + 2, c[1] @ x), (2, x))


def until_small(x):
    return lax.while_loop(lambda c: c.sum() > 1, lambda c: c @ x, x)


@pytest.mark.parametrize(
    ("fn", "products"),
    [
        (lambda x: x @ x, 1),
        (jax.jit(lambda x: x @ x), 1),
        (scanned, 7),
        (nested, 3 * 8),
        (lambda x: lax.fori_loop(0, 5, lambda i, c: c @ x, x), 5),
        (counted, 7),
        (counted_by_two, 1),
        (until_small, 1),
        (branching, 2),
        (product, 1),
        (jax.grad(lambda x: product(x).sum()), 3),
        (other_product, 1),
        (jax.checkpoint(lambda x: x @ x), 1),
        (lambda x: lax.map(lambda row: row @ x, x), 1),
        (jax.vmap(lambda row: row @ jnp.ones((4, 4))), 1),
    ],
)
def test_loops_branches_and_calls(fn, products: int) -> None:
    assert count_flops(fn, SQUARE) == products * ONCE


def test_traced_length_counts_once() -> None:
    def loop(x, count):
        return lax.fori_loop(0, count, lambda i, c: c @ x, x)

    assert count_flops(loop, SQUARE, shape(dtype=jnp.int32)) == ONCE


def test_gradient_through_checkpointed_scan() -> None:
    body = jax.checkpoint(lambda c, _: (jnp.tanh(c @ c), None))

    def loss(x):
        return lax.scan(body, x, length=6)[0].sum()

    # Forward, forward again, and two products backward in each of six steps.
    assert count_flops(jax.grad(loss), SQUARE) == 6 * 4 * ONCE


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution(groups: int, stride: int) -> None:
    def convolve(x, w):
        return lax.conv_general_dilated(
            x,
            w,
            (stride, stride),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    x, w = shape(5, 8, 8, 6), shape(3, 3, 6 // groups, 10)
    forward = 2 * 5 * (8 // stride) ** 2 * 10 * 9 * (6 // groups)
    assert count_flops(convolve, x, w) == forward
    # Each of the two gradients costs as much as the forward pass.
    both = jax.grad(lambda *a: jnp.tanh(convolve(*a)).sum(), (0, 1))
    assert count_flops(both, x, w) == 3 * forward


def test_factorisations() -> None:
    k, y = shape(3, 12, 12), shape(3, 12, 5)
    assert count_flops(lambda k: jnp.linalg.cholesky(k), k) == 3 * 12**3 // 3

    def solve(k, y):
        return jax.vmap(lambda k, y: jax.scipy.linalg.cho_solve((k, True), y))(k, y)

    assert count_flops(solve, k, y) == 2 * 3 * 12**2 * 5


def test_mapped_over_devices() -> None:
    mesh = make_mesh()
    mapped = jax.shard_map(
        lambda x, w: x @ w,
        mesh=mesh,
        in_specs=(jax.P("data"), jax.P()),
        out_specs=jax.P("data"),
    )
    assert count_flops(mapped, shape(16, 4), shape(4, 4)) == 2 * 16 * 16


def test_agrees_with_the_compiler_without_loops() -> None:
    def layers(x, w):
        return jnp.sum((x @ w) @ w.T)

    x, w = shape(64, 32), shape(32, 128)
    stats = jax.jit(layers).lower(x, w).compile().cost_analysis()
    assert count_flops(layers, x, w) == pytest.approx(stats["flops"], rel=0.02)


def test_memory_of_a_program() -> None:
    def big(x):
        return lax.scan(lambda c, _: (jnp.tanh(c @ c), c), x, length=10)[1].sum()

    x = shape(64, 64)
    found = memory(big, x)
    assert found.arguments == 64 * 64 * 4
    assert found.outputs == 4
    assert found.temporary >= 10 * 64 * 64 * 4  # the stacked carries
    assert memory(lambda x: x + 1, x, donate=(0,)).outputs == 64 * 64 * 4


def test_materialised_arrays_are_valid() -> None:
    abstract = jax.eval_shape(toy_state)
    real = np.arange(3)
    made, kept = materialise((abstract, real))
    assert jax.tree.structure(made) == jax.tree.structure(abstract)
    for leaf, want in zip(
        jax.tree.leaves(made), jax.tree.leaves(abstract), strict=True
    ):
        assert (leaf.shape, leaf.dtype) == (want.shape, want.dtype)
    assert int(made.step) == 0
    assert 0 <= float(made.weight.min()) < float(made.weight.max()) < 1
    assert kept is real
    keys = materialise(jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 6)))
    assert len(np.unique(jax.random.key_data(keys), axis=0)) == 6


def test_cost_of_a_step() -> None:
    step, traces = make_step()
    cost = seconds_per_step(step, jax.eval_shape(toy_state), toy_data(), budget=0.0)
    assert len(traces) == 1
    assert cost.seconds > 0
    assert cost.compile_seconds > 0
    assert cost.memory.arguments >= (16 * 6 + 16 * 3 + 6 * 3) * 4
