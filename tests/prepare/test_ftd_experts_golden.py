"""Sharpness-aware steps against the authors' program, in float64.

The arrays come from experiments/reference/trajectory/ftd_experts_torch.py, which runs
the training function and the GSAM of AngusDujw/FTD-distillation at commit 711532a.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import networks
from jaxdd.base import Variables
from jaxdd.prepare.flat import gsam
from jaxdd.records import (
    ConvNet,
    Sgd,
)
from jaxdd.training import fit_step, optimisers, supervised


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden" / "ftd_experts.npz") as file:
        return dict(file)


def params_of(golden, case, step):
    tree: dict = {}
    for path, value in golden.items():
        if path.startswith(f"{case}/params/"):
            layer, leaf = path.removeprefix(f"{case}/params/").split("/")
            tree.setdefault(layer, {})[leaf] = jnp.asarray(value[step])
    return tree


@pytest.mark.parametrize("case", ["published", "strong"])
def test_steps_equal_the_authors(case, golden, x64):
    network = networks.build(ConvNet(width=(4, 4), conv="stock"), (8, 8, 3), 3)
    sgd = Sgd(float(golden["rate"]), momentum=0.0)
    optimiser = optimisers.build(sgd, 10)
    direction = gsam(float(golden[f"{case}/rho"]), float(golden[f"{case}/alpha"]))
    loss = supervised("cross_entropy")
    step = jax.jit(fit_step(network, optimiser, loss, direction=direction))
    variables = Variables(params_of(golden, case, 0), {})
    opt, key = optimiser.init(variables.params), jax.random.key(0)
    for number, rows in enumerate(golden[f"{case}/rows"], 1):
        images, label = jnp.asarray(golden["image"][rows]), golden["label"][rows]
        variables, opt, _ = step(variables, opt, images, jnp.asarray(label), key)
        want = params_of(golden, case, number)
        assert jax.tree.structure(want) == jax.tree.structure(variables.params)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12),
            variables.params,
            want,
        )


def test_the_cases_differ_from_plain_steps(golden, x64):
    """So that the comparison above could fail."""
    network = networks.build(ConvNet(width=(4, 4), conv="stock"), (8, 8, 3), 3)
    optimiser = optimisers.build(Sgd(float(golden["rate"]), 0.0), 10)
    step = jax.jit(fit_step(network, optimiser, supervised("cross_entropy")))
    for case in ("published", "strong"):
        rows = golden[f"{case}/rows"][0]
        variables = Variables(params_of(golden, case, 0), {})
        images, label = jnp.asarray(golden["image"][rows]), golden["label"][rows]
        plain, *_ = step(
            variables,
            optimiser.init(variables.params),
            images,
            jnp.asarray(label),
            jax.random.key(0),
        )
        want = params_of(golden, case, 1)
        apart = jax.tree.map(
            lambda a, b: float(jnp.max(jnp.abs(a - b))), plain.params, want
        )
        assert max(jax.tree.leaves(apart)) > 1e-6
