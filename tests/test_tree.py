"""Row access on stacked pytrees."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import tree


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
