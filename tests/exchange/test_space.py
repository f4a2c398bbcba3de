"""In which space images are, and that nobody is left to guess."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import exchange, whiten
from jaxdd.errors import InputError
from jaxdd.exchange.space import place
from tests.exchange.cases import EXPECTED, corpus

PIXELS = (EXPECTED["pixels"] * 255).astype(np.uint8)


def placed(image, said="", given=None, real=None, dataset="", layout="npz"):
    return place(image, said, given, real, dataset, layout, "file.npz")


@pytest.mark.parametrize("kind", ["float32", "uint8", "int64", "float64"])
def test_pixels_are_known_by_their_range(kind):
    """uint8, other whole numbers up to 255 and floats up to 1 are the same pixels."""
    real = corpus("zca_kornia")
    image = PIXELS.astype(kind)
    if kind == "float32":
        image = image / np.float32(255)
    made = placed(image, real=real)
    unit = whiten.to_unit(jnp.asarray(PIXELS))
    expected = whiten.apply(real.whitening, unit)
    np.testing.assert_allclose(made.image, expected, atol=1e-5)
    assert made.whitening is real.whitening
    assert (made.space, made.raw, made.image.dtype) == ("none", False, np.float32)


def test_learned_pixels_may_stray_a_little_where_the_user_says_so():
    image = EXPECTED["pixels"] * 1.4 - 0.2
    np.testing.assert_array_equal(placed(image, given="none").image, image)
    with pytest.raises(InputError, match=r"nothing says how"):
        placed(image)
    with pytest.raises(InputError, match=r"whitening='none'.* are no pixels"):
        placed(EXPECTED["image"], given="none")


def test_what_a_layout_says_gives_way_to_the_numbers():
    """A pair of arrays is IDC's, whose images are pixels, unless they can be none."""
    with pytest.raises(InputError, match=r"nothing says how"):
        placed(EXPECTED["image"], said="none")


@pytest.mark.parametrize("kind", ["standard", "zca_kornia", "zca_kip", "zca_frepo"])
def test_a_whitening_is_fitted_on_the_real_data(kind):
    real = corpus("none")
    made = placed(EXPECTED["image"], given=kind, real=real)
    fitted = whiten.fit(kind, np.asarray(real.image))
    assert made.whitening.kind == kind
    for name, array in whiten.to_arrays(fitted).items():
        np.testing.assert_array_equal(getattr(made.whitening, name), array)
    np.testing.assert_array_equal(made.image, EXPECTED["image"])
    with pytest.raises(InputError, match="fitted on the real training data"):
        placed(EXPECTED["image"], given=kind)


def test_raw_numbers_stay_as_they_are_beside_plain_pixels():
    made = placed(EXPECTED["image"], given="raw", real=corpus())
    assert (made.raw, made.whitening.kind) == (True, "none")
    np.testing.assert_array_equal(made.image, EXPECTED["image"])
    whole = placed(PIXELS, given="raw").image
    np.testing.assert_array_equal(whole, whiten.to_unit(jnp.asarray(PIXELS)))


def test_spaces_that_cannot_be():
    assert set(exchange.SPACES) == {*whiten.KINDS, "vico", "raw"}
    with pytest.raises(InputError, match=r"'zca' is unknown.*one of none, stan"):
        placed(EXPECTED["image"], given="zca")
    with pytest.raises(InputError, match=r"so they are pixels; give whitening='none'"):
        placed(EXPECTED["pixels"], given="standard", real=corpus())
    with pytest.raises(InputError, match=r"known for mnist.* the data is toy; give"):
        placed(EXPECTED["image"], given="vico", real=corpus(name="toy"))
    with pytest.raises(InputError, match=r"3 channels, and whitening='vico' has 1 for"):
        placed(EXPECTED["image"], given="vico", real=corpus(name="mnist"))
    with pytest.raises(InputError, match=r"int64 between -3 and .* nothing says how"):
        placed((EXPECTED["image"] * 1).astype(np.int64))
