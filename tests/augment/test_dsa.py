"""DSA's operations: identities, linearity, siamese use, ranges, and the two policies.

Numbers against the authors' program are in test_reference.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.augment import dsa
from jaxdd.base import Augment, PyTree

SHAPE = (8, 7, 3)
NAMES = ("color", "crop", "cutout", "flip", "scale", "rotate")
# Nothing changes at these; a cutout always clears something.
IDENTITY = {
    "color": {"brightness": [0.0], "saturation": [1.0], "contrast": [1.0]},
    "crop": [[1, 1]],
    "flip": [False],
    "scale": [[1.0, 1.0]],
    "rotate": [0.0],
}


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(1).standard_normal((4, *SHAPE)).astype(np.float32)


def _arrays(params: PyTree) -> PyTree:
    return jax.tree.map(
        jnp.asarray, params, is_leaf=lambda leaf: isinstance(leaf, list)
    )


def _operation(name: str, shape: tuple[int, int, int] = SHAPE) -> Augment:
    return dsa.operations(shape)[name]


@pytest.mark.parametrize("name", IDENTITY)
def test_identity_parameters_change_nothing(name, image):
    out = _operation(name).apply(_arrays(IDENTITY[name]), jnp.asarray(image))
    # Colour subtracts and adds a mean; all else must be exact.
    np.testing.assert_allclose(out, image, atol=2e-6 if name == "color" else 0, rtol=0)


def test_flipping_twice_changes_nothing(image):
    op, on = _operation("flip"), jnp.array([True])
    once = op.apply(on, jnp.asarray(image))
    np.testing.assert_array_equal(once, image[:, :, ::-1])
    np.testing.assert_array_equal(op.apply(on, once), image)


def test_crop_is_a_roll_filled_with_zeros(image):
    op = _operation("crop", (16, 16, 3))
    image = np.tile(image[:, :, :4], (1, 2, 4, 1))
    out = op.apply(jnp.array([[2 + 2, 2 - 1]]), jnp.asarray(image))
    rolled = np.roll(image, (-2, 1), (1, 2))
    rolled[:, -2:], rolled[:, :, :1] = 0, 0
    np.testing.assert_array_equal(out, rolled)


@pytest.mark.parametrize(
    ("side", "middle", "cleared"), [(8, 4, 16), (9, 4, 25), (8, 0, 4), (8, 8, 4)]
)
def test_cutout_clears_half_of_each_side_clipped(side, middle, cleared):
    op = _operation("cutout", (side, side, 1))
    out = op.apply(jnp.full((1, 2), middle), jnp.ones((1, side, side, 1)))
    assert side**2 - float(out.sum()) == cleared


def test_saturation_of_grey_images_is_the_identity(key):
    grey = jax.random.normal(key, (3, 8, 8, 1))
    params = {"brightness": [0.0], "saturation": [0.1], "contrast": [1.0]}
    out = _operation("color", (8, 8, 1)).apply(_arrays(params), grey)
    np.testing.assert_allclose(out, grey, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_one_draw_acts_alike_on_both_sides(name, image, key):
    """Siamese: the operation of two batches together is that of each alone."""
    op = dsa.dsa(name, SHAPE)
    params = jax.jit(op.sample, static_argnums=1)(key, 1)
    apply = jax.jit(op.apply)
    together = apply(params, jnp.asarray(image))
    apart = [apply(params, jnp.asarray(part)) for part in (image[:1], image[1:])]
    np.testing.assert_allclose(together, jnp.concatenate(apart), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_operations_are_affine_and_their_gradient_is_the_adjoint(name, key, x64):
    op = _operation(name)
    params = op.sample(key, 4)
    x, y, z = jax.random.normal(key, (3, 4, *SHAPE), jnp.float64)
    forward = jax.jit(lambda image: op.apply(params, image))
    zero = forward(jnp.zeros_like(x))
    np.testing.assert_allclose(
        forward(2 * x + z) - zero,
        2 * (forward(x) - zero) + forward(z) - zero,
        atol=1e-12,
    )
    _, pull = jax.vjp(forward, x)
    inner = jnp.vdot(forward(x) - zero, y)
    np.testing.assert_allclose(inner, jnp.vdot(x, pull(y)[0]), rtol=1e-10)


def test_draws_fill_their_ranges(key):
    params = jax.jit(dsa.dsa("", (32, 27, 3)).sample, static_argnums=1)(key, 6000)
    colour, angle = params["color"], params["rotate"]
    ends = lambda values: (float(values.min()), float(values.max()))
    for values, low, high in (
        (colour["brightness"], -0.5, 0.5),
        (colour["saturation"], 0.0, 2.0),
        (colour["contrast"], 0.5, 1.5),
        (params["scale"], 1 / 1.2, 1.2),
        (angle, -np.radians(15), np.radians(15)),
    ):
        width = high - low
        assert low - 1e-6 <= ends(values)[0] < low + 0.002 * width
        assert high - 0.002 * width < ends(values)[1] <= high + 1e-6
        assert abs(float(values.mean()) - (low + high) / 2) < 0.02 * width
    assert 0.45 < float(params["flip"].mean()) < 0.55
    # Shifts of 4 and 3 pixels either way, both ends included.
    for axis, shift in ((0, 4), (1, 3)):
        assert set(np.asarray(params["crop"][:, axis])) == set(range(2 * shift + 1))
    # Boxes of 16 and 14: of an even size the middle may lie at the far end itself.
    for axis, side in ((0, 32), (1, 27)):
        assert set(np.asarray(params["cutout"][:, axis])) == set(range(side + 1))
    odd = dsa.operations((32, 30, 3))["cutout"].sample(key, 3000)
    assert set(np.asarray(odd[:, 1])) == set(range(30))  # a box of 15


def test_each_operation_has_its_own_draws_and_the_token_is_shared(key):
    op = dsa.dsa("", SHAPE)
    params = jax.jit(op.sample, static_argnums=1)(key, 5)
    assert params["token"].shape == (1,)
    shifts = params["color"]
    assert not np.allclose(shifts["brightness"] + 0.5, shifts["saturation"] / 2)
    token = jax.jit(jax.vmap(lambda k: op.sample(k, 1)["token"][0]))
    each = token(jax.random.split(key, 600))
    counts = np.bincount(np.asarray(each), minlength=6)
    assert len(counts) == 6
    assert counts.min() > 60


def test_idc_runs_flip_colour_one_and_cutout_in_this_order(image, key):
    op = dsa.idc("cutout_scale_color_flip_crop", SHAPE)
    params = jax.jit(op.sample, static_argnums=1)(key, 4)
    assert set(params) == {"flip", "color", "one", "cutout"}
    assert set(params["one"]) == {"token", "scale", "crop"}
    params["one"]["token"] = jnp.array([1])  # in the order of the strategy
    expected = jnp.asarray(image)
    for name in ("flip", "color", "crop", "cutout"):
        own = params["one"] if name == "crop" else params
        expected = _operation(name).apply(own[name], expected)
    out = op.apply(params, jnp.asarray(image))
    np.testing.assert_allclose(out, expected, atol=1e-6)


def test_idc_takes_only_what_is_named(image, key):
    for strategy, parts in (("cutout_color", {"color", "cutout"}), ("rotate", {"one"})):
        op = dsa.idc(strategy, SHAPE)
        assert set(jax.eval_shape(lambda op=op: op.sample(key, 2))) == parts


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_images_keep_their_dtype(dtype, key):
    image = jnp.ones((2, *SHAPE), dtype)
    for op in (dsa.idc("", SHAPE), *dsa.operations(SHAPE).values()):
        params = jax.eval_shape(lambda op=op: op.sample(key, 2))
        assert jax.eval_shape(op.apply, params, image).dtype == dtype


def test_fyi_flips_half_of_the_draws_beside_another_operation(key):
    """One coin for a batch in siamese use; a strategy without flip is that of `dsa`."""
    op = dsa.fyi("crop_flip_scale", SHAPE)
    drawn = jax.vmap(lambda k: op.sample(k, 1))(jax.random.split(key, 400))
    assert set(drawn) == {"flip", "one"}
    assert drawn["flip"].shape == (400, 1)
    assert 160 < int(drawn["flip"].sum()) < 240
    assert set(np.asarray(drawn["one"]["token"]).ravel()) == {0, 1}
    image = jax.random.normal(key, (3, *SHAPE))
    params = {
        "flip": jnp.array([True]),
        "one": {
            "token": jnp.array([0]),
            "crop": jnp.array([[1, 1]]),
            "scale": jnp.ones((1, 2)),
        },
    }
    np.testing.assert_array_equal(op.apply(params, image), image[:, :, ::-1])
    assert set(dsa.fyi("crop_scale", SHAPE).sample(key, 1)) == {"one"}
    assert set(dsa.fyi("flip", SHAPE).sample(key, 1)) == {"flip"}
