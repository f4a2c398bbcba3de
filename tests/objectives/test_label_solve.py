"""Label Solve: a minimum, no worse than learned labels, the Nystrom predictor."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import kernels, whiten
from jaxdd.base import Batch, Synthetic
from jaxdd.errors import InputError
from jaxdd.kernels.ridge import KIP
from jaxdd.objectives.kernel_regression import kernel_blocks, kernel_regression
from jaxdd.objectives.label_solve import solved_labels
from jaxdd.records import (
    Fc,
    WideKernel,
)
from tests.helpers import toy_corpus

CLASSES, SHAPE = 4, (4, 4, 1)
# ReLU's NTK knows the angle of an image with itself to the root of a rounding only.
KERNEL = kernels.named(WideKernel("nngp", Fc(1)), SHAPE)


@pytest.fixture(scope="module")
def solved():
    """Corpus, support, solved labels, and the loss of labels with its gradient."""
    with jax.enable_x64(True):
        corpus = toy_corpus(per_class=10, side=4)
        # Images far from each other: a kernel whose inverse amplifies no rounding.
        noise = np.random.default_rng(2).integers(0, 256, corpus.image.shape)
        corpus = dataclasses.replace(corpus, image=jnp.asarray(noise, jnp.uint8))
        image = whiten.to_unit(corpus.image, jnp.float64)
        support = image[corpus.class_index[:, jnp.array([0, 1])].reshape(-1)]
        label = solved_labels(KERNEL, support, corpus, KIP, rows=9, rcond=1e-12)
        objective = kernel_regression(kernel_blocks(KERNEL), KIP, CLASSES)
        batch = Batch(image, corpus.label, corpus.label, jnp.ones(corpus.size))

        @jax.jit
        def loss(target):
            made = Synthetic(support, target, jnp.ones(len(support)))
            return objective(made, batch, (), {}, jax.random.key(0))[0]

        return corpus, support, jnp.asarray(label), jax.jit(jax.value_and_grad(loss))


def test_gradient_of_the_labels_vanishes(solved, x64):
    _, _, label, loss = solved
    _, slope = loss(label)
    assert float(jnp.abs(slope).max()) < 1e-12


def test_no_labels_are_better(solved, x64):
    """Nor those that thirty steps of gradient descent from zero reach."""
    _, _, label, loss = solved
    least, _ = loss(label)
    rng = np.random.default_rng(0)
    for size in (1e-3, 1e-1):
        other, _ = loss(label + size * rng.standard_normal(label.shape))
        assert float(other) > float(least)
    learned = jnp.zeros_like(label)
    for _ in range(30):
        value, slope = loss(learned)
        learned = learned - 20 * slope
    assert float(least) < float(value) < float(loss(jnp.zeros_like(label))[0])


def test_it_is_the_nystrom_predictor_without_ridge(solved, x64):
    corpus, support, label, _ = solved
    image = np.asarray(whiten.to_unit(corpus.image, jnp.float64))
    cross = np.asarray(jax.jit(KERNEL)(jnp.asarray(image), support))
    gram = np.asarray(jax.jit(KERNEL)(support, support))
    target = np.eye(CLASSES)[np.asarray(corpus.label)] - 1 / CLASSES
    landmarks = np.linalg.pinv(cross.T @ cross, rcond=1e-13) @ cross.T @ target
    lam = 1e-6 * np.trace(gram) / len(gram)
    alpha = np.linalg.solve(gram + lam * np.eye(len(gram)), label)
    np.testing.assert_allclose(cross @ alpha, cross @ landmarks, atol=1e-6)
    exact = target - cross @ np.linalg.lstsq(cross, target, rcond=1e-12)[0]
    np.testing.assert_allclose(cross @ alpha, target - exact, atol=1e-9)


def test_numbers_out_of_range_are_refused(solved):
    corpus, support, _, _ = solved
    for wrong in ({"rows": 0}, {"rcond": 1.0}):
        with pytest.raises(InputError, match=r"distill\.rows"):
            solved_labels(KERNEL, support, corpus, KIP, **wrong)
