"""Row access on stacked pytrees."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import tree
from jaxdd.devices.mesh import make_mesh, replicate, use_mesh
from jaxdd.members import map_members, shares, sum_of_shares


def test_take_and_write_are_inverse() -> None:
    stacked = {"a": jnp.arange(6.0).reshape(3, 2), "b": jnp.arange(3)}
    row = jax.jit(tree.take)(stacked, jnp.int32(1))
    np.testing.assert_array_equal(row["a"], [2.0, 3.0])
    same = tree.write(stacked, jnp.int32(1), row)
    np.testing.assert_array_equal(same["a"], stacked["a"])
    changed = tree.write(stacked, jnp.int32(2), row)
    np.testing.assert_array_equal(changed["b"], [0, 1, 1])


def test_size_in_bytes_counts_abstract_leaves() -> None:
    shapes = jax.eval_shape(
        lambda: {"a": jnp.zeros((2, 3)), "b": jnp.zeros(4, jnp.int8)}
    )
    assert tree.size_in_bytes(shapes) == 2 * 3 * 4 + 4


def test_sum_of_shares_is_the_plain_sum_and_so_is_its_derivative(x64) -> None:
    members, given = jnp.arange(12.0).reshape(6, 2), jnp.asarray([0.5, -1.5])

    def total(given):
        share = lambda own, given: jnp.sum(jnp.sin(own * given[None]), 0)
        return jnp.sum(sum_of_shares(share, members, given) ** 2)

    alone = jax.jit(jax.value_and_grad(total))(given)
    for devices in (2, 4):  # six members are not shared by four
        mesh = make_mesh(data=devices)
        with use_mesh(mesh):
            program = jax.jit(jax.value_and_grad(total)).trace(replicate(mesh, given))
            assert ("shard_map" in str(program.jaxpr)) == (devices == 2)
            shared = program.lower().compile()(replicate(mesh, given))
            for one, other in zip(alone, shared, strict=True):
                np.testing.assert_allclose(one, other, rtol=1e-12)


def test_members_that_are_mapped_share_nothing_further() -> None:
    def one(member):
        assert shares() == 1
        return sum_of_shares(lambda own, _: jnp.sum(own, 0), member, ())

    mesh = make_mesh(data=2)
    members = replicate(mesh, jnp.ones((2, 4, 3)))
    with use_mesh(mesh):
        assert shares() == 2
        sums = jax.jit(lambda m: map_members(one, m))(members)
    np.testing.assert_array_equal(sums, np.full((2, 3), 4.0))
