"""AST's loss and gradient against formulas in NumPy float64.

The arrays come from experiments/reference/trajectory/ast_numpy.py: momentum, a start
weighted by its epoch, a target in between; gradients by central differences.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Batch, Network, Output, Segment, Synthetic, Variables
from jaxdd.objectives.trajectory import StudentTraining, end_distance

PIXELS, HIDDEN, CLASSES = 4, 3, 3


def network() -> Network:
    """One hidden layer of tanh units, as the reference has it."""

    def init(key: jax.Array) -> Variables:
        del key
        shapes = {"bias": (HIDDEN,), "kernel": (PIXELS, HIDDEN)}
        first = {name: jnp.zeros(shape) for name, shape in shapes.items()}
        last = {"bias": jnp.zeros(CLASSES), "kernel": jnp.zeros((HIDDEN, CLASSES))}
        return Variables({"a": first, "b": last}, {})

    def apply(variables, image, *, train=False, key=None):
        first, last = variables.params["a"], variables.params["b"]
        flat = image.reshape(len(image), -1)
        hidden = jnp.tanh(flat @ first["kernel"] + first["bias"][None])
        logits = hidden @ last["kernel"] + last["bias"][None]
        return Output(logits, hidden), variables

    return Network(init, apply, HIDDEN, CLASSES, "tanh")


@pytest.mark.parametrize("middle", ["agg", "adaptive"])
def test_ast_equals_its_formulas(middle, x64):
    with np.load(Path(__file__).parent / "golden" / "ast.npz") as file:
        golden = {name: jnp.asarray(file[name]) for name in file if name != "origin"}
    objective = end_distance(
        network(),
        StudentTraining(steps=5, batch=6, momentum=0.9, balance=9),
        middle=middle,
    )
    numbers = jnp.asarray(6), jnp.asarray(0)
    piece = Segment(golden["start"], golden["targets"], *numbers)
    batch = Batch(None, None, None, None, extra=piece)

    def loss(image, rate):
        synthetic = Synthetic(
            image.reshape(6, 2, 2, 1),
            golden["label"],
            jnp.ones(6),
            {"learning_rate": rate},
        )
        return objective(synthetic, batch, (), {}, jax.random.key(0))[0]

    run = jax.jit(jax.value_and_grad(loss, (0, 1)))
    value, (by_image, by_rate) = run(golden["image"], jnp.asarray(0.3))
    np.testing.assert_allclose(value, golden[f"{middle}/loss"], rtol=1e-12)
    want = golden[f"{middle}/image_gradient"]
    np.testing.assert_allclose(by_image, want, atol=1e-7 * float(jnp.abs(want).max()))
    np.testing.assert_allclose(by_rate, golden[f"{middle}/rate_gradient"][0], rtol=1e-7)
