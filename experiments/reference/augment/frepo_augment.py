"""Runs FRePo's augmentation and keeps what it drew and what came out, in float64.

The program is a checkout of yongchaoz/FRePo at 43e028a (no licence: nothing of it is
copied here), in JAX; it also needs einops. Its operations run image by image, not
compiled, with the constants that its `get_aug_by_name` gives them, and their calls of
the random generators are recorded in order.

  python experiments/reference/augment/frepo_augment.py --checkout DIR \
      tests/augment/golden/frepo.npz
"""

import argparse
import contextlib
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

SIDE, IMAGES = 9, 3
GENERATORS = ("uniform", "randint", "bernoulli")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    image = np.random.default_rng(0).standard_normal((IMAGES, SIDE, SIDE, 3))
    arrays = {"image": image, "origin": np.array(__doc__)}
    for name, transform in transforms(args.checkout / "lib" / "dataset").items():
        arrays |= run(name, transform, image)
    np.savez_compressed(args.out, **arrays)


def transforms(folder: Path) -> dict[str, Callable]:
    """The program's operations for one image, caught where it makes them."""
    sys.path.insert(0, str(folder))
    # Its package file would import more than the two modules that are needed.
    package = types.ModuleType("augmax")
    package.__path__ = [str(folder / "augmax")]
    sys.modules["augmax"] = package
    import augmax.export as program

    made: list[Callable] = []

    def catch(transform: Callable, **options: Any) -> Callable:
        made.append(transform)
        return transform

    program.get_vmap_transform = catch
    strategy = ("color", "crop", "translate", "cutout", "flip", "rotate")
    program.get_aug_by_name("_".join(strategy), res=SIDE)
    return dict(zip(strategy, made, strict=True))


def run(name: str, transform: Callable, image: np.ndarray) -> dict[str, np.ndarray]:
    """Draws and results of all images, under a name."""
    with recorded() as drawn:
        keys = jax.random.split(jax.random.key(4), len(image))
        pairs = zip(keys, jnp.asarray(image), strict=True)
        results = [transform(key, x) for key, x in pairs]
    count = len(drawn) // len(image)
    each = [np.stack(drawn[i::count]) for i in range(count)]
    arrays = {f"draw{i}": values for i, values in enumerate(each)}
    arrays["result"] = np.stack([np.asarray(r) for r in results])
    return {f"{name}/{part}": value for part, value in arrays.items()}


@contextlib.contextmanager
def recorded() -> Iterator[list[np.ndarray]]:
    """Everything the random generators return meanwhile."""
    drawn: list[np.ndarray] = []
    originals = {name: getattr(jax.random, name) for name in GENERATORS}

    def watched(original: Callable) -> Callable:
        def call(*args: Any, **options: Any) -> Any:
            value = original(*args, **options)
            drawn.append(np.asarray(value))
            return value

        return call

    for name, original in originals.items():
        setattr(jax.random, name, watched(original))
    try:
        yield drawn
    finally:
        for name, original in originals.items():
            setattr(jax.random, name, original)


if __name__ == "__main__":
    main()
