"""Runs the authors' augmentations and keeps what they drew and what came out.

The programs are given as checkouts; nothing of them is copied here:
  VICO-UoE/DatasetCondensation at 53f63a6 (MIT): DSA (`DiffAugment`, float64) and the
    augmentation of DC (`augment`, float32);
  snu-mllab/Efficient-Dataset-Condensation at ceac95a (MIT): IDC's `DiffAug` (float64)
    and the boxes of CutMix.
Their calls of the random generators are recorded in order. What they import without
needing it here (torchvision, matplotlib) is replaced by empty stand-ins.

  python experiments/reference/augment/augment_torch.py --vico DIR --idc DIR \
      tests/augment/golden/reference.npz
"""

import argparse
import contextlib
import importlib.util
import itertools
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

OPERATIONS = ("color", "crop", "cutout", "flip", "scale", "rotate")
SIDES = (8, 9)
GENERATORS = (
    (torch, "rand"),
    (torch, "randint"),
    (np.random, "uniform"),
    (np.random, "randint"),
    (np.random, "permutation"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vico", type=Path, required=True)
    parser.add_argument("--idc", type=Path, required=True)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    stand_in()
    sys.path.insert(0, str(args.vico))
    vico = module("vico_utils", args.vico / "utils.py")
    idc = module("idc_augment", args.idc / "misc" / "augment.py")
    boxes = module("idc_utils", args.idc / "misc" / "utils.py")
    arrays = {f"image/{side}": image for side, image in pictures().items()}
    arrays |= {"origin": np.array(__doc__)} | dc_cases(vico)
    torch.set_default_dtype(torch.float64)
    torch.float = torch.float64  # the programs name the precision of their grids
    arrays |= dsa_cases(vico) | idc_cases(idc) | cutmix_cases(boxes)
    np.savez_compressed(args.out, **arrays)


def stand_in() -> None:
    """Empty modules for what is not needed, and SciPy's rotation at its old place."""
    nothing = lambda *args, **options: None
    rotation = {"rotate": ndimage.rotate}
    for name, attributes in {
        "torchvision": {"datasets": nothing, "transforms": nothing},
        "scipy.ndimage.interpolation": rotation,
        "matplotlib": {"use": nothing},
        "matplotlib.pyplot": {},
    }.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(attributes)
    vars(np)["int"] = int  # an alias that NumPy dropped


def module(name: str, path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@contextlib.contextmanager
def recorded() -> Iterator[list[np.ndarray]]:
    """Everything the random generators return meanwhile."""
    drawn: list[np.ndarray] = []
    originals = [getattr(owner, name) for owner, name in GENERATORS]

    def watched(original: Callable) -> Callable:
        def call(*args: Any, **options: Any) -> Any:
            value = original(*args, **options)
            drawn.append(np.array(value))
            return value

        return call

    for (owner, name), original in zip(GENERATORS, originals, strict=True):
        setattr(owner, name, watched(original))
    try:
        yield drawn
    finally:
        for (owner, name), original in zip(GENERATORS, originals, strict=True):
            setattr(owner, name, original)


def case(
    name: str, image: np.ndarray, run: Callable[[torch.Tensor], torch.Tensor]
) -> dict[str, np.ndarray]:
    """Draws and result of one run on images [n,h,w,c], under a name."""
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 - the programs draw from the global state
    with recorded() as drawn:
        # Channels first in memory too, as their data lies.
        given = torch.from_numpy(image).permute(0, 3, 1, 2).contiguous()
        result = run(given.clone())
    arrays = {"result": result.permute(0, 2, 3, 1).numpy()}
    arrays |= {f"draw{i}": value for i, value in enumerate(drawn)}
    return {f"{name}/{part}": array for part, array in arrays.items()}


def pictures() -> dict[str, np.ndarray]:
    """Noise of an even and an odd side, and numbered pixels."""
    rng = np.random.default_rng(0)
    noise = {str(side): rng.standard_normal((3, side, side, 3)) for side in SIDES}
    return noise | {"28": np.arange(24.0 * 28 * 28).reshape(24, 28, 28, 1)}


def dsa_cases(vico: types.ModuleType) -> dict[str, np.ndarray]:
    """Every operation alone: one draw for all images (seeded), and one for each."""
    arrays = {}
    for operation, side, seed in itertools.product(OPERATIONS, SIDES, (-1, 7)):
        name = f"dsa/{operation}/{side}/{'each' if seed < 0 else 'siamese'}"
        run = lambda x, operation=operation, seed=seed: vico.DiffAugment(
            x, operation, seed=seed, param=vico.ParamDiffAug()
        )
        arrays |= case(name, pictures()[str(side)], run)
    return arrays


def idc_cases(idc: types.ModuleType) -> dict[str, np.ndarray]:
    """The four stages of its policy, with one choice for the third."""
    arrays = {}
    for choice, batch in itertools.product(("crop", "scale", "rotate"), (False, True)):
        name = f"idc/{choice}/{'siamese' if batch else 'each'}"
        run = idc.DiffAug(strategy=f"color_{choice}_cutout_flip", batch=batch)
        arrays |= case(name, pictures()["8"], run)
    return arrays


def cutmix_cases(boxes: types.ModuleType) -> dict[str, np.ndarray]:
    """Boxes for shares of the image, with the centres they drew."""
    shares = np.linspace(0, 0.999, 16)
    with recorded() as drawn:
        found = [boxes.rand_bbox((4, 3, 28, 32), share) for share in shares]
    return {
        "cutmix/share": shares,
        "cutmix/centre": np.array(drawn).reshape(-1, 2),
        "cutmix/box": np.array(found),
    }


def dc_cases(vico: types.ModuleType) -> dict[str, np.ndarray]:
    """Its operations in float32, whose rounding decides which pixels are nearest."""
    param = vico.get_daparam("MNIST", "ConvNet", "ConvNet", 1)
    arrays = {}
    for operation, side in (("crop", "9"), ("rotate", "9"), ("scale", "28")):
        image = pictures()[side].astype(np.float32)
        strategy = param | {"strategy": operation}
        run = lambda x, strategy=strategy: vico.augment(x, strategy, "cpu")
        arrays |= case(f"dc/{operation}", image, run)
    return arrays


if __name__ == "__main__":
    main()
