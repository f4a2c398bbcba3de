"""FRePo's operations against its own program, with the numbers it drew, and ranges.

The arrays come from experiments/reference/augment/frepo_augment.py, which runs
yongchaoz/FRePo in float64.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd.augment import frepo

SHAPE = (9, 9, 3)

PARAMETERS = {
    "flip": lambda mirror: mirror,
    "color": lambda shift, _, contrast, __, saturation, ___: {
        "brightness": shift,
        "contrast": np.exp(contrast),
        "saturation": np.exp(saturation),
    },
    "crop": lambda zoom, centre: {"zoom": np.exp(zoom), "centre": centre},
    "rotate": lambda _, angle: angle,
    "translate": lambda move: move,
    # It draws (row, column) and clears at (column, row), which is the same at random.
    "cutout": lambda _, first: first[:, ::-1],
}


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(Path(__file__).parent / "golden" / "frepo.npz") as file:
        return dict(file)


@pytest.mark.parametrize("name", PARAMETERS)
def test_frepo_equals_the_authors_program(name, golden, x64):
    count = sum(part.startswith(f"{name}/draw") for part in golden)
    draws = [golden[f"{name}/draw{i}"] for i in range(count)]
    op = frepo.frepo(name, SHAPE)
    params = {name: PARAMETERS[name](*draws), "token": np.zeros(1, int)}
    image = jnp.asarray(golden["image"])
    out = jax.jit(op.apply)(params, image)
    np.testing.assert_allclose(out, golden[f"{name}/result"], rtol=1e-10, atol=1e-12)
    assert float(jnp.abs(out - image).max()) > 0.1


def test_frepo_draws_fill_their_ranges(key):
    sample = jax.jit(frepo.frepo("", (32, 24, 3)).sample, static_argnums=1)
    params = sample(key, 4000)
    colour, crop = params["color"], params["crop"]
    assert set(np.asarray(params["cutout"][:, 0])) == set(range(32 - 8 + 1))
    assert set(np.asarray(params["cutout"][:, 1])) == set(range(24 - 6 + 1))
    for values, low, high in (
        (colour["brightness"], -0.25, 0.25),
        (jnp.log(colour["contrast"]), -0.25, 0.25),
        (jnp.log(colour["saturation"]), -0.25, 0.25),
        (jnp.log(crop["zoom"]), np.log(0.8), np.log(1.25)),
        (crop["centre"][:, 0] / (crop["zoom"] - 1) / 16, -1, 1),
        (crop["centre"][:, 1] / (crop["zoom"] - 1) / 12, -1, 1),
        (params["rotate"], -np.radians(15), np.radians(15)),
        (params["translate"][:, 0], -4, 4),
        (params["translate"][:, 1], -3, 3),
    ):
        width = high - low
        assert low - 1e-3 * width <= float(values.min()) < low + 0.01 * width
        assert high - 0.01 * width < float(values.max()) <= high + 1e-3 * width
        assert abs(float(values.mean()) - (low + high) / 2) < 0.03 * width
