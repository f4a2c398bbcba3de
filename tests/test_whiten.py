"""Whitening against its definitions, written out again in plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import whiten
from tests.helpers import finite_difference

ZCA = ("zca_kornia", "zca_kip", "zca_frepo", "zca_rfad", "zca_rfad_l2")


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    """64 colour images of 4x4: more rows than the 48 dimensions."""
    rng = np.random.default_rng(3)
    coarse = rng.integers(20, 200, (64, 2, 2, 3)).repeat(2, 1).repeat(2, 2)
    return (coarse + rng.integers(-20, 21, (64, 4, 4, 3))).astype(np.uint8)


def _unit(image):
    return jnp.asarray(image, jnp.float64) / 255


def _inverse_root(moment):
    values, vectors = np.linalg.eigh(moment)
    return vectors @ np.diag(values**-0.5) @ vectors.T


def _zca_kornia(image):
    x = image.reshape(len(image), -1) / 255
    centred = x - x.mean(0)
    moment = centred.T @ centred / (len(x) - 1)
    return centred @ _inverse_root(moment + 0.1 * np.eye(x.shape[1]))


def _zca_kip(image):
    x = image.reshape(len(image), -1) / 255
    x = x - x.mean(1, keepdims=True)
    x = x / np.sqrt((x**2).sum(1, keepdims=True))
    moment, d = x.T @ x / len(x), x.shape[1]
    return x @ _inverse_root(moment + 0.1 * np.trace(moment) / d * np.eye(d))


def _zca_frepo(image):
    x = image / 255
    x = (x - x.mean((0, 1, 2))) / x.std((0, 1, 2))
    x = x.reshape(len(x), -1)
    x = x - x.mean(0)
    moment, d = x.T @ x / len(x), x.shape[1]
    return x @ _inverse_root(moment + 0.1 * np.trace(moment) / d * np.eye(d))


def _zca_rfad(image, alone=False):
    x = image / 255
    x = (x - x.mean((0, 1, 2))) / x.std((0, 1, 2))
    x = x.reshape(len(x), -1)
    if alone:
        x = x - x.mean(1, keepdims=True)
        x = x / np.sqrt((x**2).sum(1, keepdims=True))
    moment, d = x.T @ x / len(x), x.shape[1]
    return x @ _inverse_root(moment + 0.1 * np.trace(moment) / d * np.eye(d))


@pytest.mark.parametrize(
    ("kind", "reference"),
    [
        ("zca_kornia", _zca_kornia),
        ("zca_kip", _zca_kip),
        ("zca_frepo", _zca_frepo),
        ("zca_rfad", _zca_rfad),
        ("zca_rfad_l2", lambda image: _zca_rfad(image, alone=True)),
    ],
)
def test_zca_equals_its_definition(x64, image, kind, reference):
    fitted = whiten.fit(kind, image)
    white = whiten.apply(fitted, _unit(image))
    assert white.dtype == jnp.float64
    assert white.shape == image.shape
    np.testing.assert_allclose(white.reshape(64, -1), reference(image), atol=1e-10)


@pytest.mark.parametrize(
    "kind", ["none", "standard", "zca_kornia", "zca_frepo", "zca_rfad"]
)
def test_inverse_undoes_apply(x64, image, kind):
    fitted, unit = whiten.fit(kind, image), _unit(image)
    np.testing.assert_allclose(
        whiten.inverse(fitted, whiten.apply(fitted, unit)), unit, atol=1e-10
    )


def test_inverse_of_kip_up_to_brightness_and_contrast(x64, image):
    fitted, unit = whiten.fit("zca_kip", image), _unit(image)
    white = whiten.apply(fitted, unit)
    back = whiten.inverse(fitted, white)
    np.testing.assert_allclose(whiten.apply(fitted, back), white, atol=1e-10)
    np.testing.assert_allclose(
        whiten.apply(fitted, 0.3 * unit + 0.1), white, atol=1e-10
    )
    assert abs(float(back.mean() - unit.mean())) < 1e-10
    assert float(jnp.abs(back - unit).mean()) < 0.05  # plausible as a picture


def test_inverse_of_rfad_l2_up_to_norm_and_mean(x64, image):
    fitted, unit = whiten.fit("zca_rfad_l2", image), _unit(image)
    white = whiten.apply(fitted, unit)
    back = whiten.inverse(fitted, white)
    np.testing.assert_allclose(whiten.apply(fitted, back), white, atol=1e-10)
    scale = fitted.channel_std.reshape(1, 1, 1, 3)
    centre = fitted.channel_mean.reshape(1, 1, 1, 3)
    fainter = 0.3 * (unit - centre) + 0.1 * scale + centre  # standardised: 0.3 x + 0.1
    np.testing.assert_allclose(whiten.apply(fitted, fainter), white, atol=1e-10)
    assert float(jnp.abs(back - unit).mean()) < 0.05  # plausible as a picture


@pytest.mark.parametrize("kind", ZCA)
def test_zca_matrices_are_symmetric_and_inverse_to_each_other(image, kind):
    arrays = {k: v.astype(np.float64) for k, v in _fit64(kind, image).items()}
    matrix, inverse = arrays["matrix"], arrays["inverse_matrix"]
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    np.testing.assert_allclose(matrix @ inverse, np.eye(48), atol=1e-10)


def _fit64(kind, image):
    with jax.enable_x64(True):
        return whiten.to_arrays(whiten.fit(kind, image))


def test_kornia_covariance_has_eigenvalues_s_over_s_plus_epsilon(x64, image):
    white = whiten.apply(whiten.fit("zca_kornia", image), _unit(image))
    x = image.reshape(64, -1) / 255
    values = np.linalg.eigvalsh(np.cov(x.T))
    found = np.linalg.eigvalsh(np.cov(np.asarray(white).reshape(64, -1).T))
    np.testing.assert_allclose(found, values / (values + 0.1), atol=1e-10)


@pytest.mark.parametrize("kind", ["zca_kornia", "zca_frepo"])
def test_a_constant_image_added_to_all_changes_nothing(x64, image, kind):
    same = np.full((1, 4, 4, 3), 7, np.uint8)  # one value: FRePo sees channel means
    if kind == "zca_kornia":
        same = np.random.default_rng(0).integers(0, 30, (1, 4, 4, 3)).astype(np.uint8)
    small = image // 2
    before = whiten.apply(whiten.fit(kind, small), _unit(small))
    after = whiten.apply(whiten.fit(kind, small + same), _unit(small + same))
    np.testing.assert_allclose(before, after, atol=1e-9)


def test_frepo_with_few_images_leaves_the_unseen_directions(x64, image):
    few = image[:10]
    arrays = whiten.to_arrays(whiten.fit("zca_frepo", few))
    values = np.sort(np.linalg.eigvalsh(arrays["matrix"]) ** -2.0)
    assert (np.abs(values - 1) < 1e-9).sum() >= 38  # d - n of them


def test_standard_gives_mean_zero_and_deviation_one(x64, image):
    fitted = whiten.fit("standard", image)
    white = np.asarray(whiten.apply(fitted, _unit(image)))
    np.testing.assert_allclose(white.mean((0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(white.std((0, 1, 2)), 1, atol=1e-12)


@pytest.mark.parametrize("kind", whiten.KINDS)
def test_images_that_are_all_alike_stay_finite(kind):
    flat = np.full((5, 4, 4, 1), 77, np.uint8)
    fitted = whiten.fit(kind, flat)
    total = jax.jit(jax.value_and_grad(lambda x: whiten.apply(fitted, x).sum()))
    value, slope = total(whiten.to_unit(flat))
    assert np.isfinite(value)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("kind", whiten.KINDS)
def test_derivatives_of_apply_and_inverse(x64, image, kind):
    fitted, unit = whiten.fit(kind, image), _unit(image[:2])
    weight = jnp.asarray(np.random.default_rng(1).standard_normal(unit.shape))
    for function in (whiten.apply, whiten.inverse):

        @jax.jit
        def value(x, function=function):
            return (weight * function(fitted, x) ** 2).sum()

        for slope, inner in finite_difference(value, unit, probes=2):
            assert slope == pytest.approx(inner, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("kind", whiten.KINDS)
def test_leading_axes_and_float32(image, kind):
    fitted = whiten.fit(kind, image)
    unit = whiten.to_unit(image)
    flat = jax.jit(whiten.apply)(fitted, unit)
    assert flat.dtype == fitted.dtype == jnp.float32
    classes = whiten.apply(fitted, unit.reshape(4, 16, 4, 4, 3))
    np.testing.assert_allclose(classes.reshape(flat.shape), flat, atol=1e-5)
    np.testing.assert_allclose(whiten.apply(fitted, unit[0]), flat[0], atol=1e-5)
    back = whiten.inverse(fitted, classes)
    assert back.shape == classes.shape
    if kind not in ("zca_kip", "zca_rfad_l2"):  # they forget norms
        np.testing.assert_allclose(back.reshape(flat.shape), unit, atol=1e-4)


@pytest.mark.parametrize("kind", ["standard", *ZCA])
def test_fit_does_not_depend_on_the_chunks(monkeypatch, image, kind):
    whole = _fit64(kind, image)
    monkeypatch.setattr(whiten, "_CHUNK", 7)
    for name, array in _fit64(kind, image).items():
        np.testing.assert_allclose(array, whole[name], atol=1e-10)


@pytest.mark.parametrize("kind", whiten.KINDS)
def test_arrays_round_trip(image, kind):
    fitted = whiten.fit(kind, image)
    again = whiten.from_arrays(kind, whiten.to_arrays(fitted))
    assert jax.tree.structure(again) == jax.tree.structure(fitted)
    unit = whiten.to_unit(image[:3])
    np.testing.assert_array_equal(whiten.apply(again, unit), whiten.apply(fitted, unit))


def test_to_unit_is_exact_at_the_ends_and_the_same_in_jit(x64):
    levels = jnp.arange(256, dtype=jnp.uint8)
    for dtype in (jnp.float32, jnp.float64):
        unit = whiten.to_unit(levels, dtype)
        assert unit.dtype == dtype
        assert unit[0] == 0
        assert unit[255] == 1
        jitted = jax.jit(whiten.to_unit, static_argnums=1)(levels, dtype)
        np.testing.assert_array_equal(unit, jitted)
        np.testing.assert_array_equal(jnp.rint(unit * 255).astype(jnp.uint8), levels)


def test_bad_input_is_refused(image):
    with pytest.raises(ValueError, match=r"'zca' is unknown.*none, standard"):
        whiten.fit("zca", image)
    with pytest.raises(KeyError, match="mean"):
        whiten.from_arrays("zca_kornia", {})
    with pytest.raises(TypeError, match="to_unit"):
        whiten.apply(whiten.fit("standard", image), jnp.asarray(image))


def test_mnist_has_the_published_moments(data_dir):
    with np.load(data_dir / "mnist.npz") as archive:
        fitted = whiten.fit("standard", archive["x_train"][..., None])
    assert fitted.channel_mean == pytest.approx([0.1307], abs=5e-5)
    assert fitted.channel_std == pytest.approx([0.3081], abs=5e-5)
