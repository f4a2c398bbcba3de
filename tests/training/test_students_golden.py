"""Training students against the authors' program, step by step in float64.

The arrays come from experiments/reference/training/students_torch.py, which runs the
training function of VICO-UoE/DatasetCondensation (MIT) across the drop of its learning
rate.
"""

import dataclasses
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import networks
from jaxdd.augment import dsa
from jaxdd.base import Variables
from jaxdd.records import (
    ConvNet,
    Sgd,
    Steps,
)
from jaxdd.training import fit_step, optimisers, supervised
from jaxdd.training.batches import Weighted

CASES = ("whole", "colour", "batches")
SPEC = Sgd(0.01, 0.9, 5e-4, schedule=Steps(restart=True))


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden" / "students.npz") as file:
        return dict(file)


def leaves(golden, kind, step):
    """Arrays under `kind/owner/leaf` of one step, as nested dicts."""
    tree: dict = {}
    for path, value in golden.items():
        if path.startswith(f"{kind}/"):
            owner, leaf = path.removeprefix(f"{kind}/").split("/")
            tree.setdefault(owner, {})[leaf] = jnp.asarray(value[step])
    return tree


def batches(golden, case):
    """Images and weighted labels of every step; rows of -1 fill up partial batches."""
    rows = golden[f"{case}/rows"]
    images = golden.get(f"{case}/images", golden["image"][rows])
    weight = (rows >= 0).astype(np.float64)
    return jnp.asarray(images), Weighted(jnp.asarray(golden["label"][rows]), weight)


def network():
    return networks.build(ConvNet(width=(4, 4)), (8, 8, 3), 3)


def trained(golden, case, spec):
    """Losses [steps] and parameters after every step, from the program's start."""
    images, targets = batches(golden, case)
    optimiser = optimisers.build(spec, len(images))
    step = fit_step(network(), optimiser, supervised("cross_entropy"))
    key = jax.random.key(0)

    def body(carry, batch):
        variables, opt, metrics = step(*carry, *batch, key)
        return (variables, opt), (metrics["loss"], variables.params)

    start = Variables(leaves(golden, f"{case}/params", 0), {})
    carry = start, optimiser.init(start.params)
    return jax.jit(lambda: jax.lax.scan(body, carry, (images, targets))[1])()


def spec_of(golden, case):
    """The program's optimiser; its second one begins where the golden arrays say."""
    first, second = golden[f"{case}/restarts"]
    assert first == 0
    boundary = second / len(golden[f"{case}/loss"])
    return dataclasses.replace(SPEC, schedule=Steps((float(boundary),), restart=True))


@pytest.mark.parametrize("case", CASES)
def test_student_steps_equal_the_program(x64, golden, case):
    losses, params = trained(golden, case, spec_of(golden, case))
    np.testing.assert_allclose(losses, golden[f"{case}/loss"], rtol=0, atol=1e-10)
    after = leaves(golden, f"{case}/params", slice(1, None))
    assert jax.tree.structure(after) == jax.tree.structure(params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-9), params, after
    )


def test_new_optimiser_forgets_momentum(x64, golden):
    spec = spec_of(golden, "whole")
    going_on = dataclasses.replace(spec.schedule, restart=False)
    spec = dataclasses.replace(spec, schedule=going_on)
    losses, params = trained(golden, "whole", spec)
    off = np.abs(params["head"]["kernel"] - golden["whole/params/head/kernel"][1:])
    _, second = golden["whole/restarts"]
    assert off[:second].max() < 1e-9  # the same before it
    assert off[second:].max() > 1e-5
    assert np.all(np.diff(golden["whole/rate"]) <= 0)
    assert golden["whole/rate"][second] == pytest.approx(SPEC.learning_rate / 10)
    assert len(losses) > second


@pytest.mark.parametrize("case", CASES)
def test_student_gradients_equal_the_program(x64, golden, case):
    net, loss = network(), supervised("cross_entropy")

    def norms(params, images, targets):
        def value(params):
            return loss(net, Variables(params, {}), (), images, targets, None)[0]

        return jax.tree.map(lambda g: jnp.sqrt(jnp.sum(g**2)), jax.grad(value)(params))

    params = leaves(golden, f"{case}/params", slice(None, -1))
    got = jax.jit(jax.vmap(norms))(params, *batches(golden, case))
    wanted = leaves(golden, f"{case}/norms", slice(None))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-9), got, wanted
    )


def test_colour_augmentation_equals_the_program(x64, golden):
    brightness, saturation, contrast = np.moveaxis(golden["colour/draws"], 1, 0)
    params = {
        "brightness": brightness - 0.5,
        "saturation": 2 * saturation,
        "contrast": contrast + 0.5,
    }
    images = jnp.asarray(golden["image"][golden["colour/rows"]])
    colour = dsa.operations(images.shape[2:])["color"]
    got = jax.vmap(colour.apply)(jax.tree.map(jnp.asarray, params), images)
    np.testing.assert_allclose(got, golden["colour/images"], rtol=0, atol=1e-12)
