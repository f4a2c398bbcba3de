"""Bases and coefficients: the map, its transpose, the budget, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.base import Task
from jaxdd.decoders import basis, pixels, rows_in_budget
from jaxdd.errors import InputError
from tests.helpers import toy_corpus


def _task(ipc: int | None = 2, side: int = 8, channels: int = 1) -> Task:
    return Task((side, side, channels), 4, 4 * (ipc or 3), ipc, 10, 48)


def test_paper_budget_of_cifar10():
    task = Task((32, 32, 3), 10, 10, 1, 10, 50_000)
    assert rows_in_budget(task, 16, 2) == 115
    params = jax.eval_shape(basis(task).init, jax.random.key(0), None, {})
    assert params["coefficient"].shape == (1150, 16)
    assert params["basis"].shape == (16, 16, 16, 3)
    stored = basis(task).floats(params)
    assert stored == 1150 * 16 + 16 * 16 * 16 * 3
    # One image more per class would exceed the budget of ten images.
    assert stored <= 10 * 3072 < stored + 10 * 16


def test_enlargement_is_half_pixel_bilinear():
    decoder = basis(_task(), count=1, scale=2, per_class=1)
    row = jnp.array([1.0, 2.0, 4.0, 8.0])
    params = {
        "basis": jnp.broadcast_to(row[None, None, :, None], (1, 4, 4, 1)),
        "coefficient": jnp.ones((4, 1)),
    }
    image = decoder.decode(params, {}, jax.random.key(0)).image
    expected = [1, 1.25, 1.75, 2.5, 3.5, 5, 7, 8]
    for line in image[2, :, :, 0]:
        np.testing.assert_allclose(line, expected, rtol=1e-6)


def test_own_pictures_are_pixels(key):
    """As many bases as images, the identity as coefficients, no enlargement."""
    task, corpus = _task(), toy_corpus()
    image = pixels(task).init(key, corpus, {})["image"]
    decoder = basis(task, count=8, scale=1, per_class=2)
    params = {"basis": image, "coefficient": jnp.eye(8)}
    decoded = decoder.decode(params, {}, key)
    plain = pixels(task).decode({"image": image}, {}, key)
    np.testing.assert_allclose(decoded.image, plain.image, rtol=1e-6)
    np.testing.assert_array_equal(decoded.target, plain.target)
    some = decoder.decode(params, {}, key, jnp.array([5, 1]))
    np.testing.assert_allclose(some.image, plain.image[jnp.array([5, 1])], rtol=1e-6)
    np.testing.assert_array_equal(some.target, [2, 0])


def test_gradient_is_the_transposed_map(x64, key):
    """<decode(M, A), R> by autodiff against the transposes written out in NumPy."""
    decoder = basis(_task(), count=3, scale=2, per_class=2)
    params = decoder.init(key, None, {})
    rest = np.random.default_rng(0).standard_normal((8, 8, 8, 1))

    def inner(params):
        return jnp.sum(decoder.decode(params, {}, key).image * rest)

    gradient = jax.grad(inner)(params)
    place = (np.arange(8) + 0.5) / 2 - 0.5
    distance = np.abs(np.clip(place, 0, 3)[:, None] - np.arange(4)[None])
    up = np.maximum(0, 1 - distance)
    m, a = np.asarray(params["basis"]), np.asarray(params["coefficient"])
    small = np.einsum("ip,jq,nijc->npqc", up, up, rest)
    np.testing.assert_allclose(
        gradient["basis"], np.einsum("nk,npqc->kpqc", a, small), rtol=1e-10
    )
    np.testing.assert_allclose(
        gradient["coefficient"], np.einsum("npqc,kpqc->nk", small, m), rtol=1e-10
    )
    # Linear in each of the two: the inner product is the gradient's with either.
    for name in params:
        np.testing.assert_allclose(
            jnp.vdot(gradient[name], params[name]), inner(params), rtol=1e-10
        )


def test_starts_have_their_scale(key):
    task = Task((32, 32, 3), 10, 10, 1, 10, 50_000)
    xavier = basis(task).init(key, None, {})
    for name, sizes in {"basis": (16, 768), "coefficient": (1150, 16)}.items():
        bound = np.sqrt(6 / sum(sizes))
        largest = float(jnp.abs(xavier[name]).max())
        assert 0.98 * bound < largest <= bound


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"count": 0}, "bases=0"),
        ({"scale": 3}, "downscale=3"),
        ({"scale": 0}, "downscale=0"),
        ({"per_class": -1}, "images_per_class=-1"),
        ({"count": 40, "scale": 1}, "bases=40"),
    ],
)
def test_basis_refuses(options, word):
    with pytest.raises(InputError, match=word):
        basis(_task(), **options)


def test_basis_needs_images_per_class():
    with pytest.raises(InputError, match="images per class"):
        basis(_task(None))
