"""Runs the authors' RaT-BPTT program for two outer steps and watches it.

The program is fengyzpku/Simple_Dataset_Distillation (MIT) at 7915c5a, given as a
checkout, with the package `higher` that it needs; nothing of them is copied here. Its
`Distill` module and its `train` run unchanged, in float64 on the CPU: data is replaced
by our arrays, augmentation and packages that it imports but does not need here by
stand-ins, the ConvNet is narrow and without norm. Adam's epsilon is 1e-14 in place of
1e-8: `higher` adds it before the correction of the averages, PyTorch after it.

  PYTHONPATH=HIGHER python experiments/reference/bilevel/rat_bptt_torch.py \\
      --checkout DIR tests/methods/bilevel/golden/rat_bptt.npz
"""

import argparse
import contextlib
import io
import random
import sys
import types
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

CLASSES, SIDE, CHANNELS, IPC, STEPS = 3, 8, 3, 3, 2
WIDTH, WINDOW, TOTAL = 6, 3, 7
CASES: dict[str, dict[str, Any]] = {
    "adam": {"inner_optim": "Adam", "lr": 0.01, "batch_pc": 2, "train_y": True},
    "sgd": {"inner_optim": "SGD", "lr": 0.05, "batch_pc": 3, "task_sampler_nc": 2},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    base, distill = load_program(args.checkout)
    arrays: dict[str, np.ndarray] = {"origin": np.array(__doc__)}
    for name, settings in CASES.items():
        for part, value in run_recorded(base, distill, settings).items():
            arrays[f"{name}/{part}"] = value
    np.savez_compressed(args.out, **arrays)


def load_program(checkout: Path) -> tuple[types.ModuleType, types.ModuleType]:
    """The authors' `base` and `distill_higher`, with stand-ins around them."""
    for name, attributes in {
        "torchvision": ("transforms",),
        "torchvision.transforms": (),
        "torchvision.datasets": ("MNIST", "CIFAR10", "CIFAR100", "ImageFolder"),
        "torch_optimizer": (),
        "h5py": (),
        "wandb": (),
        "PIL": ("Image", "TarIO"),
        "kornia": (),
    }.items():
        module = types.ModuleType(name)
        for attribute in attributes:
            setattr(module, attribute, type(attribute, (), {}))
        sys.modules[name] = module
    torch.Tensor.cuda = lambda self, *args, **options: self  # type: ignore
    torch.nn.Module.cuda = lambda self, *args, **options: self  # type: ignore
    torch.Tensor.float = torch.Tensor.double  # type: ignore
    sys.path.insert(0, str(checkout))
    from framework import base, distill_higher
    from framework.convnet import ConvNet

    def narrow(arch: str, classes: int, channel: int, side: Any) -> torch.nn.Module:
        return ConvNet(channel, classes, WIDTH, 2, "relu", "none", "avgpooling", side)

    distill_higher.get_arch = narrow
    distill_higher.optim = types.SimpleNamespace(
        SGD=torch.optim.SGD, Adam=partial(torch.optim.Adam, eps=1e-14)
    )
    return base, distill_higher


def run_recorded(
    base: types.ModuleType, distill: types.ModuleType, settings: dict[str, Any]
) -> dict[str, np.ndarray]:
    """What two outer steps of one epoch consume and produce."""
    torch.manual_seed(3)
    model, soft = make_model(base, distill, settings), "train_y" in settings
    groups = [{"params": model.data.weight}]
    groups += [{"params": model.label.weight}] if soft else []
    optimizer = torch.optim.Adam(groups, lr=0.003)
    record = Recorder(model, distill, soft)
    optimizer.register_step_post_hook(lambda *args: record.keep_moved())
    batches = real_batches()
    wrapper = torch.nn.Module()
    wrapper.module = model
    wrapper.forward = record.forward  # type: ignore
    options = {"rank": 0, "minwindow": 0, "totwindow": TOTAL, "window": WINDOW}
    switches = {"mp_distributed": False, "complete_random": False, "train_y": soft}
    args = types.SimpleNamespace(print_freq=1, **options, **switches)
    model.ema_init(0.9)
    random.seed(7)  # of the window's beginning, and of classes in a step
    criterion = torch.nn.CrossEntropyLoss(reduction="mean")
    with contextlib.redirect_stdout(io.StringIO()):
        base.train(
            batches, wrapper, criterion, optimizer, 0, torch.device("cpu"), 0, args
        )
    if soft:
        record.keep("label", model.label.weight)
    return record.arrays | {
        "start": np.asarray(model.curriculum),
        "real_image": np.stack([as_images(image) for image, _ in batches]),
        "real_label": np.stack([label.numpy() for _, label in batches]),
    }


def make_model(
    base: types.ModuleType, distill: types.ModuleType, settings: dict[str, Any]
) -> torch.nn.Module:
    """The authors' module on images of unit norm, without augmentation."""
    label = torch.arange(CLASSES).repeat_interleave(IPC)
    soft = "train_y" in settings
    plain = lambda x, dtype, seed: x
    model = distill.Distill(
        x_init=None,
        y_init=torch.nn.functional.one_hot(label, CLASSES) if soft else label,
        arch="narrow",
        window=WINDOW,
        num_train_eval=1,
        img_pc=IPC,
        num_classes=CLASSES,
        channel=CHANNELS,
        im_size=(SIDE, SIDE),
        syn_intervention=plain,
        real_intervention=plain,
        cctype=2,
        **{"task_sampler_nc": CLASSES} | settings,
    )
    model.dd_type = "curriculum"
    drawn = torch.randn(CLASSES * IPC, CHANNELS * SIDE * SIDE)
    model.data.weight.data = base.project(drawn)
    return model


def real_batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    rng = np.random.default_rng(0)
    made = []
    for step in range(STEPS):
        label = rng.integers(0, CLASSES, 10)
        image = rng.standard_normal((10, CHANNELS, SIDE, SIDE))
        image += label[:, None, None, None]
        image *= 1 + 9 * step  # so that the second gradient is clipped
        made.append((torch.from_numpy(image), torch.from_numpy(label)))
    return made


class Recorder:
    """Watches fresh networks, drawn rows, gradients and what becomes of the set."""

    def __init__(
        self, model: torch.nn.Module, distill: types.ModuleType, soft: bool
    ) -> None:
        self.arrays: dict[str, np.ndarray] = {}
        self._model, self._soft, self._rows = model, soft, []
        model.data.register_forward_hook(
            lambda module, inputs, output: self._rows.append(inputs[0].numpy().copy())
        )
        # Before `clip_grad_norm_` scales it in place. The prefix does not reach it.
        self._hook(model.data.weight, "gradient")
        if soft:
            self._hook(model.label.weight, "label_gradient")
        self._make = distill.get_arch
        distill.get_arch = self._network
        self._in_step = False

    def forward(self, image: torch.Tensor) -> Any:
        """One call of the program's module."""
        self._rows.clear()
        self.keep("image", as_images(self._model.data.weight))
        if self._soft:
            self.keep("label", self._model.label.weight)
        self._in_step = True
        result = self._model(image)
        self._in_step = False
        self.keep("rows", np.stack(self._rows))
        self.keep("logits", result[0])
        return result

    def keep_moved(self) -> None:
        """After the optimiser: clipped gradient, its average, the images."""
        self.keep("clipped", as_images(self._model.data.weight.grad))
        self.keep("average", np.asarray(self._model.shadow))
        self.keep("moved", as_images(self._model.data.weight))

    def keep(self, name: str, value: Any) -> None:
        if isinstance(value, torch.Tensor):
            value = value.detach().numpy()
        value = np.array(value)[None]
        held = self.arrays.get(name)
        self.arrays[name] = value if held is None else np.concatenate([held, value])

    def _network(self, *args: Any) -> torch.nn.Module:
        network = self._make(*args)
        if self._in_step:
            for name, value in network.state_dict().items():
                self.keep(f"network/{name}", value)
        return network

    def _hook(self, weight: torch.nn.Parameter, name: str) -> None:
        def keep(moved: torch.nn.Parameter) -> None:
            gradient = moved.grad
            if self._in_step or gradient is None:  # of the steps before the window
                return
            shown = as_images(gradient) if name == "gradient" else gradient
            self.keep(name, shown)

        weight.register_post_accumulate_grad_hook(keep)


def as_images(value: torch.Tensor) -> np.ndarray:
    """Rows of pixels, channels first, as [n,h,w,c]."""
    array = value.detach().numpy().reshape(-1, CHANNELS, SIDE, SIDE)
    return array.transpose(0, 2, 3, 1).copy()


if __name__ == "__main__":
    main()
