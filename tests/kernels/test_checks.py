"""Kernels that are not finite."""

import jax.numpy as jnp
import pytest

from jaxdd.errors import InputError
from jaxdd.kernels import check_finite


def test_finite_kernels_pass():
    check_finite(jnp.ones((3, 2)), "ntk fc")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_non_finite_kernels_are_named(bad):
    value = jnp.ones((3, 2)).at[1, 1].set(bad).at[2, 0].set(bad)
    with pytest.raises(InputError, match=rf"ntk fc: 2 of 6.*is {bad} at \[1, 1\]"):
        check_finite(value, "ntk fc")
