"""Every operation against the published programs, with the numbers they drew.

The arrays come from experiments/reference/augment/augment_torch.py, which runs
VICO-UoE/DatasetCondensation (DSA and DC) and snu-mllab/Efficient-Dataset-Condensation
(IDC and CutMix). DSA and IDC ran in float64, DC in float32.
"""

import itertools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.augment import dc, dsa
from jaxdd.augment.mix import cut_box

Draws = list[np.ndarray]


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "golden" / "reference.npz") as file:
        return dict(file)


def _draws(golden: dict[str, np.ndarray], case: str, siamese: bool) -> Draws:
    """What a case drew, each [n]; their siamese runs keep the first of each draw."""
    parts = itertools.takewhile(
        golden.__contains__, (f"{case}/draw{i}" for i in itertools.count())
    )
    flat = [golden[part].ravel() for part in parts]
    return [draw[:1] for draw in flat] if siamese else flat


def _pair(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.stack([first, second], axis=1)


# Their draws as our parameters; u is uniform in [0,1).


def _colour(brightness: np.ndarray, saturation: np.ndarray, contrast: np.ndarray):
    return {
        "brightness": brightness - 0.5,
        "saturation": 2 * saturation,
        "contrast": contrast + 0.5,
    }


def _crop(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return _pair(rows, columns) + 1  # an eighth of 8 or 9 pixels


def _scale(columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return _pair(rows, columns) * (1.2 - 1 / 1.2) + 1 / 1.2


PARAMETERS = {
    "color": _colour,
    "crop": _crop,
    "cutout": _pair,
    "flip": lambda u: u < 0.5,
    "scale": _scale,
    "rotate": lambda u: (2 * u - 1) * np.radians(15),
}


@pytest.mark.parametrize("siamese", [True, False])
@pytest.mark.parametrize("side", [8, 9])
@pytest.mark.parametrize("name", PARAMETERS)
def test_dsa_equals_the_authors_program(name, side, siamese, golden, x64):
    case = f"dsa/{name}/{side}/{'siamese' if siamese else 'each'}"
    _, *draws = _draws(golden, case, siamese)  # the first chose the operation
    params = {name: PARAMETERS[name](*draws), "token": np.zeros(1, int)}
    out = dsa.dsa(name, (side, side, 3)).apply(
        params, jnp.asarray(golden[f"image/{side}"])
    )
    assert out.dtype == jnp.float64
    np.testing.assert_allclose(out, golden[f"{case}/result"], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("siamese", [True, False])
@pytest.mark.parametrize("name", ["crop", "scale", "rotate"])
def test_idc_equals_the_authors_program(name, siamese, golden, x64):
    case = f"idc/{name}/{'siamese' if siamese else 'each'}"
    flip, *draws = _draws(golden, case, siamese)
    params = {
        "flip": PARAMETERS["flip"](flip),
        "color": _colour(*draws[:3]),
        "one": {name: PARAMETERS[name](*draws[4:-2]), "token": np.zeros(1, int)},
        "cutout": _pair(*draws[-2:]),
    }
    op = dsa.idc(f"color_{name}_cutout_flip", (8, 8, 3))
    out = jax.jit(op.apply)(params, jnp.asarray(golden["image/8"]))
    np.testing.assert_allclose(out, golden[f"{case}/result"], rtol=1e-10, atol=1e-12)


def test_boxes_of_cutmix_equal_those_of_idc(golden, x64):
    share, centre = (jnp.asarray(golden[f"cutmix/{n}"]) for n in ("share", "centre"))
    box = cut_box(share, centre, 28, 32)
    np.testing.assert_array_equal(box, golden["cutmix/box"])


# The operations of DC; each image also drew which one it gets, of one.


def _dc(golden: dict[str, np.ndarray], name: str, side: int, params: np.ndarray):
    image = jnp.asarray(golden[f"image/{side}"], jnp.float32)
    op = dc.operations(image.shape[1:])[name]
    out = jax.jit(op.apply)(jnp.asarray(params), image)
    return np.asarray(out), golden[f"dc/{name}/result"]


def _two_each(golden: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Two numbers for each image [n,2]; of a permutation they took the first."""
    _, *draws = _draws(golden, f"dc/{name}", siamese=False)
    return _pair(*(np.array([d[0] for d in draws[i::3]]) for i in (0, 1)))


def test_dc_crop_equals_the_authors_program(golden):
    draws = _draws(golden, "dc/crop", siamese=False)
    offset = np.array(
        [[r[0], c[0]] for r, c in zip(draws[1::3], draws[2::3], strict=True)]
    )
    out, expected = _dc(golden, "crop", 9, offset)
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-7)


def test_dc_scale_takes_the_same_pixels_as_the_authors_program(golden):
    draws = _draws(golden, "dc/scale", siamese=False)
    size = np.array(
        [[h[0], w[0]] for h, w in zip(draws[1::3], draws[2::3], strict=True)]
    )
    size = np.floor(size * 28).astype(int)
    assert set(size.ravel()) == set(range(22, 34))  # every size there is
    np.testing.assert_array_equal(*_dc(golden, "scale", 28, size))


def test_dc_rotation_equals_the_authors_program(golden):
    degrees = np.concatenate(_draws(golden, "dc/rotate", siamese=False)[1::2])
    out, expected = _dc(golden, "rotate", 9, degrees.astype(int))
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)
