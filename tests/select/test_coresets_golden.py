"""The rows that RFAD's own selection chooses.

`coresets.npz` is written by experiments/reference/selection/coresets_numpy.py, which
runs coresets.py of yolky/RFAD @ c9ef03e in float64.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jaxdd import select
from jaxdd.select import Space

GOLDEN = np.load(Path(__file__).parent / "golden" / "coresets.npz")


def test_rows_are_those_of_the_authors_program(x64) -> None:
    space = Space(jnp.asarray(GOLDEN["features"]))
    rules = {"mmd": select.mmd, "variance": select.gp_var["trace_less_variance"]}
    for name, rule in rules.items():
        found = rule(jax.random.key(0), space, None, 8)
        np.testing.assert_array_equal(found.indices, GOLDEN[name], err_msg=name)
