"""Runs the authors' RFAD program for two steps and watches it, in float64 on the CPU.

The program is yolky/RFAD (no licence: nothing of it is copied here) at c9ef03e, given
as a checkout, with the package `torch_optimizer` that it needs. Its `distill_dataset`
runs unchanged: data is replaced by our arrays, the choice of real images by ours,
packages that it imports but does not need here by stand-ins; the networks are narrow.

  PYTHONPATH=TORCH_OPTIMIZER python experiments/reference/kernel/rfad_torch.py \
      --checkout DIR tests/methods/kernel/golden/rfad.npz
"""

import argparse
import contextlib
import io
import re
import sys
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

CLASSES, SIDE, CHANNELS, IPC, STEPS, MEMBERS = 3, 4, 2, 2, 2, 2
REAL, BATCH, BATCHES, HELD, HELD_MEMBERS = 20, 5, 2, 9, 16
CASES: dict[str, dict[str, Any]] = {
    "platt": {"platt": True, "learn_labels": True},
    "mse": {"platt": False, "learn_labels": False},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    program, models = load_program(args.checkout)
    arrays: dict[str, np.ndarray] = {"origin": np.array(__doc__)}
    for name, settings in CASES.items():
        for part, value in run_recorded(program, models, settings).items():
            arrays[f"{name}/{part}"] = value
    np.savez_compressed(args.out, **arrays)


def load_program(checkout: Path) -> tuple[types.ModuleType, types.ModuleType]:
    """The authors' `distillation` and `models`, with stand-ins around them."""
    for name, attributes in {
        "torchvision": ("datasets", "transforms"),
        "torchvision.transforms": (),
        "matplotlib": ("pyplot",),
        "matplotlib.pyplot": (),
        "scipy.ndimage.interpolation": ("rotate",),
        "diffaugment": ("ParamDiffAug", "DiffAugment"),
    }.items():
        module = types.ModuleType(name)
        for attribute in attributes:
            setattr(module, attribute, types.ModuleType(attribute))
        sys.modules[name] = module
    on_cpu()
    sys.path.insert(0, str(checkout))
    import distillation
    import models

    return distillation, models


def on_cpu() -> None:
    """Devices are ignored, and narrow floats are wide."""
    torch.Tensor.cuda = lambda self, *args, **options: self  # type: ignore
    torch.nn.Module.to = lambda self, *args, **options: self  # type: ignore
    torch.Tensor.to = lambda self, *args, **options: self  # type: ignore
    torch.Tensor.float = torch.Tensor.double  # type: ignore
    for name in ("empty", "eye", "tensor"):
        original = getattr(torch, name)

        def here(*args: Any, original: Callable = original, **options: Any) -> Any:
            options.pop("device", None)
            return original(*args, **options)

        setattr(torch, name, here)


def run_recorded(
    program: types.ModuleType, models: types.ModuleType, settings: dict[str, Any]
) -> dict[str, np.ndarray]:
    """What two steps consume and produce."""
    rng = np.random.default_rng(4)
    image = {
        name: torch.tensor(rng.standard_normal((count, CHANNELS, SIDE, SIDE)))
        for name, count in (("start", CLASSES * IPC), ("real", REAL), ("held", HELD))
    }
    label = {
        name: torch.tensor(rng.integers(0, CLASSES, len(image[name])))
        for name in ("real", "held")
    }
    rows = [rng.permutation(REAL)[:BATCH] for _ in range(STEPS * BATCHES)]
    record = Recorder(program, models)
    choices = iter(rows)
    np.random.choice = lambda *args, **options: next(choices)  # type: ignore
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        program.distill_dataset(
            *(image["real"], label["real"], record.model, 1e-2, MEMBERS, BATCHES),
            iters=STEPS,
            schedule=[(0, MEMBERS, 1)],
            samples_per_class=IPC,
            n_classes=CLASSES,
            X_valid=image["held"],
            y_valid=label["held"],
            n_channels=CHANNELS,
            im_size=SIDE,
            X_init=image["start"].clone(),  # changed in place
            jit=5e-3,
            **settings,
        )
    found = re.search(r"valid loss: ([^,]+),", printed.getvalue())
    assert found is not None
    arrays = {f"{name}_image": as_images(value) for name, value in image.items()}
    arrays |= {f"{name}_label": value.numpy() for name, value in label.items()}
    arrays["rows"] = np.stack(rows).reshape(STEPS, -1)
    arrays["held_loss"] = np.array(float(found.group(1)))
    return arrays | record.arrays()


class Recorder:
    """The networks, losses, gradients and parameters of a run."""

    def __init__(self, program: types.ModuleType, models: types.ModuleType) -> None:
        self._make = partial(
            models.ConvNet_wide,
            *(CHANNELS,),
            k=1,
            net_width=5,
            net_depth=2,
            im_size=(SIDE, SIDE),
        )
        self._networks: list[torch.nn.Module] = []
        self._steps: list[dict[str, np.ndarray]] = []
        self._losses: list[float] = []
        backward = torch.Tensor.backward

        def kept(loss: torch.Tensor, *args: Any, **options: Any) -> None:
            if loss.ndim == 0:
                self._losses.append(loss.item())
            backward(loss, *args, **options)

        torch.Tensor.backward = kept  # type: ignore
        import torch_optimizer

        record = self

        class Watched(torch_optimizer.AdaBelief):
            def step(self, closure: Any = None) -> None:
                values = [p for group in self.param_groups for p in group["params"]]
                grads = [as_array(p.grad) for p in values]
                super().step(closure)
                record.keep(self.param_groups, grads)

        program.torch_optim = types.SimpleNamespace(AdaBelief=Watched)

    def model(self, **options: Any) -> torch.nn.Module:
        options["chopped_head"] = True
        made = self._make(**options)
        self._networks.append(made)
        return made

    def keep(self, groups: list[dict], grads: list[np.ndarray]) -> None:
        values = [as_array(p) for group in groups for p in group["params"]]
        names = ["image", *["target"] * (len(groups[0]["params"]) == 2), "transform"]
        names += ["log_scale"] * (len(groups) == 3)
        kept = dict(zip(names, values, strict=True))
        kept |= {f"gradient_{n}": g for n, g in zip(names, grads, strict=True)}
        self._steps.append(kept)

    def arrays(self) -> dict[str, np.ndarray]:
        """By step; the networks that judge are made twice with the same seeds."""
        held = self._networks[:HELD_MEMBERS]
        # One judgement at step 0 makes them again before the first step's networks.
        steps = self._networks[2 * HELD_MEMBERS :]
        arrays = {f"held_{name}": value for name, value in stacked(held).items()}
        for number, kept in enumerate(self._steps):
            own = steps[number * MEMBERS : (number + 1) * MEMBERS]
            parts = kept | stacked(own) | {"loss": np.array(self._losses[number])}
            arrays |= {f"step{number + 1}/{n}": v for n, v in parts.items()}
        return arrays


def stacked(networks: list[torch.nn.Module]) -> dict[str, np.ndarray]:
    """Weights of several networks, in our layout."""
    arrays = {}
    convolutions = [
        [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
        for network in networks
    ]
    for block, layers in enumerate(zip(*convolutions, strict=True)):
        kernels = [as_array(layer.weight).transpose(2, 3, 1, 0) for layer in layers]
        arrays[f"conv{block}/kernel"] = np.stack(kernels)
        arrays[f"conv{block}/bias"] = np.stack([as_array(x.bias) for x in layers])
    return arrays


def as_array(value: Any) -> np.ndarray:
    """In our layout: images with channels last, the matrix of such images."""
    array = value.detach().numpy().copy()
    if array.ndim == 4 and array.shape[1:] == (CHANNELS, SIDE, SIDE):
        return array.transpose(0, 2, 3, 1)
    size = CHANNELS * SIDE * SIDE
    if array.shape == (size, size):
        order = np.arange(size).reshape(CHANNELS, SIDE, SIDE).transpose(1, 2, 0)
        return array[np.ix_(order.ravel(), order.ravel())]
    return array


def as_images(value: torch.Tensor) -> np.ndarray:
    return value.numpy().transpose(0, 2, 3, 1)


if __name__ == "__main__":
    main()
