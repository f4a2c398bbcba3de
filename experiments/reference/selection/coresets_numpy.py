"""Rows that RFAD's own selection chooses, in float64.

  python experiments/reference/selection/coresets_numpy.py PATH/TO/RFAD \
      tests/select/golden/coresets.npz

Runs `get_mmd_coreset` and `get_var_reduc_coreset` of yolky/RFAD @ c9ef03e, coresets.py,
which are plain NumPy; what that file imports and they do not use is stubbed.
"""

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np

UNUSED = (
    *("torch", "torch.nn", "torch_optimizer", "matplotlib", "matplotlib.pyplot"),
    *("data", "random_features", "utils", "models", "training", "distillation"),
)


def main() -> None:
    """Writes features [n,d] and the rows that both rules choose from their kernel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    program = load(arguments.folder / "coresets.py")
    rng = np.random.default_rng(7)
    features = np.abs(rng.standard_normal((30, 12)))  # as those behind a ReLU
    kernel = features @ features.T
    np.savez(
        arguments.out,
        features=features,
        mmd=np.array(program.get_mmd_coreset(kernel, 8)),
        variance=np.array(program.get_var_reduc_coreset(kernel, 8)),
    )


def load(path: Path) -> ModuleType:
    """The file as a module, without what it does not need here."""
    stubs = {name: mock.MagicMock() for name in UNUSED}
    with mock.patch.dict(sys.modules, stubs):
        spec = importlib.util.spec_from_file_location("coresets", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
