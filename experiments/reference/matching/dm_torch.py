"""Runs the authors' distribution-matching program (main_DM.py) and watches it.

The program is VICO-UoE/DatasetCondensation (MIT), given as a checkout; nothing of it is
copied here. Its `main` runs unchanged: the data set is replaced by our arrays, packages
it imports but does not need here (torchvision, scipy) by empty stand-ins, evaluation
by nothing, and its optimiser, its permutations and its networks are recorded.

  golden: two steps in float64 on a tiny problem, to an .npz that tests compare with;
    once more with siamese augmentation, every operation on one class and step
    python experiments/reference/matching/dm_torch.py --checkout DIR golden \
        tests/methods/matching/golden/dm.npz
  timing: waits for a number on standard input, runs that many iterations, answers with
    their seconds as JSON; used by experiments/benches/dm.py
    python experiments/reference/matching/dm_torch.py --checkout DIR timing DATA.npz \
        --width 128
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

CLASSES, SIDE, CHANNELS = 3, 8, 3
IPC, BATCH, STEPS = 2, 6, 2
STRATEGY = "color_crop_cutout_flip_scale_rotate"


class _Finished(Exception):
    """Leaves the authors' loop."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, required=True)
    modes = parser.add_subparsers(dest="mode", required=True)
    golden = modes.add_parser("golden")
    golden.add_argument("out", type=Path)
    timing = modes.add_parser("timing")
    timing.add_argument("data", type=Path)
    timing.add_argument("--width", type=int, default=128)
    timing.add_argument("--ipc", type=int, default=10)
    timing.add_argument("--batch", type=int, default=256)
    timing.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    program = load_program(args.checkout)
    if args.mode == "golden":
        np.savez_compressed(args.out, **golden_arrays(program))
    else:
        if args.threads:
            torch.set_num_threads(args.threads)
        serve(program, args)


def load_program(checkout: Path) -> types.ModuleType:
    """The authors' main_DM as a module, with stand-ins for what it does not need."""
    for name, attributes in {
        "torchvision": ("datasets", "transforms"),
        "torchvision.utils": ("save_image",),
        "scipy": (),
        "scipy.ndimage": (),
        "scipy.ndimage.interpolation": ("rotate",),
    }.items():
        module = types.ModuleType(name)
        for attribute in attributes:
            setattr(module, attribute, lambda *args, **options: None)
        sys.modules[name] = module
    sys.path.insert(0, str(checkout))
    import main_DM

    main_DM.get_eval_pool = lambda *args: []
    main_DM.get_loops = lambda ipc: (0, 0)  # of its sister program; knows few ipc
    return main_DM


def give_data(program: types.ModuleType, image: np.ndarray, label: np.ndarray) -> None:
    """Makes the program's data set the given float images [n,h,w,c]."""
    tensor = torch.from_numpy(image).permute(0, 3, 1, 2).contiguous()
    pairs = [(x, int(y)) for x, y in zip(tensor, label, strict=True)]
    channels, classes = image.shape[-1], int(label.max()) + 1
    facts = (channels, image.shape[1:3], classes, [], [0.0] * channels)
    program.get_dataset = lambda *args: (*facts, [1.0] * channels, pairs, None, None)


@contextlib.contextmanager
def command_line(**options: Any) -> Iterator[None]:
    """The program's arguments; it writes only into a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        options = {"data_path": folder, "save_path": folder, "eval_mode": "S"} | options
        words = [str(w) for name, v in options.items() for w in (f"--{name}", v)]
        old, sys.argv = sys.argv, ["main_DM.py", *words]
        try:
            with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
                yield
        finally:
            sys.argv = old


# Golden steps ----------------------------------------------------------------------


def golden_arrays(program: types.ModuleType) -> dict[str, np.ndarray]:
    """Everything two steps consume and produce, for instance and batch norm."""
    torch.set_default_dtype(torch.float64)
    torch.float = torch.float64  # the program names the precision of its images
    rng = np.random.default_rng(0)
    label = np.repeat(np.arange(CLASSES), 8)
    image = rng.standard_normal((len(label), SIDE, SIDE, CHANNELS))
    image += label[:, None, None, None] * 0.3
    arrays = {"image": image, "label": label, "origin": np.array(__doc__)}
    for model, norm in (("ConvNet", "instancenorm"), ("ConvNetBN", "batchnorm")):
        give_data(program, image, label)
        record = run_recorded(program, model, norm)
        arrays |= {f"{norm}/{name}": value for name, value in record.items()}
    give_data(program, image, label)
    with recorded_augmentation(program) as draws:
        record = run_recorded(program, "ConvNet", "instancenorm", STRATEGY)
    # Real images, then synthetic ones, from one seed: what they drew must agree.
    for real, synthetic in zip(draws[::2], draws[1::2], strict=True):
        np.testing.assert_array_equal(real, synthetic)
    record["draws"] = np.stack(draws[::2]).reshape(STEPS, CLASSES, -1)
    return arrays | {f"siamese/{name}": value for name, value in record.items()}


@contextlib.contextmanager
def recorded_augmentation(program: types.ModuleType) -> Iterator[list[np.ndarray]]:
    """Watches `DiffAugment`: the operation's number and up to three draws of a call.

    Its seeds are milliseconds of the clock; they are chosen here such that the calls
    take the operations in turn.
    """
    seeds = [first_seed(number) for number in range(len(STRATEGY.split("_")))]
    clock, original = iter(seeds), program.DiffAugment
    draws: list[np.ndarray] = []
    generators = {name: getattr(torch, name) for name in ("rand", "randint")}

    def watched(name: str) -> Any:
        def call(*args: Any, **options: Any) -> torch.Tensor:
            value = generators[name](*args, **options)
            draws[-1].append(value.ravel()[0].item())
            return value

        return call

    def augment(*args: Any, **options: Any) -> torch.Tensor:
        draws.append([])
        for name in generators:
            setattr(torch, name, watched(name))
        result = original(*args, **options)
        for name, generator in generators.items():
            setattr(torch, name, generator)
        draws[-1] = np.array([*draws[-1], 0, 0, 0][:4])
        return result

    program.DiffAugment = augment
    # Half a millisecond, as the program rounds down.
    program.time = types.SimpleNamespace(time=lambda: (next(clock) + 0.5) / 1000)
    try:
        yield draws
    finally:
        program.DiffAugment, program.time = original, time


def first_seed(number: int) -> int:
    """The first seed whose first choice among the operations is this one."""
    count = len(STRATEGY.split("_"))
    for seed in range(1, 1000):
        torch.random.manual_seed(seed)
        if torch.randint(0, count, size=(1,)).item() == number:
            return seed
    raise AssertionError(f"no seed draws {number}")


def run_recorded(
    program: types.ModuleType, model: str, norm: str, strategy: str = "none"
) -> dict[str, np.ndarray]:
    """Runs the program for a few steps and records its optimiser and its draws."""
    import networks

    nets, draws, losses, steps = [], [], [], []
    permutation, backward = np.random.permutation, torch.Tensor.backward

    def network(*args: Any) -> torch.nn.Module:
        torch.manual_seed(len(nets))
        shape = (SIDE, SIDE)
        net = networks.ConvNet(
            CHANNELS, CLASSES, 4, 2, "relu", norm, "avgpooling", shape
        )
        nets.append(exported(net))
        return net

    class Recorder(torch.optim.SGD):
        def __init__(self, params: list, **options: Any) -> None:
            steps.append((None, params[0].detach().clone()))
            super().__init__(params, **options)

        def step(self, closure: Any = None) -> None:
            (image,) = self.param_groups[0]["params"]
            gradient = image.grad.clone()
            super().step(closure)
            steps.append((gradient, image.detach().clone()))

    def permuted(rows: list[int]) -> np.ndarray:
        draws.append(permutation(rows))
        return draws[-1]

    def recorded(loss: torch.Tensor, *args: Any, **options: Any) -> None:
        losses.append(loss.item())
        backward(loss, *args, **options)

    program.get_network = network
    torch.optim.SGD, np.random.permutation = Recorder, permuted
    torch.Tensor.backward = recorded
    np.random.seed(1)  # noqa: NPY002 - the program draws from the global state
    try:
        with command_line(
            model=model,
            ipc=IPC,
            num_exp=1,
            Iteration=STEPS - 1,
            batch_real=BATCH,
            dsa_strategy=strategy,
        ):
            program.main()
    finally:
        torch.optim.SGD, np.random.permutation = Recorder.__base__, permutation
        torch.Tensor.backward = backward
    rows = np.stack([d[:BATCH] for d in draws[CLASSES:]])
    gradients, images = zip(*steps, strict=True)
    channels_last = lambda x: x.permute(0, 2, 3, 1).numpy()
    return {
        "loss": np.array(losses),
        "rows": rows.reshape(STEPS, CLASSES, BATCH),
        "images": np.stack([channels_last(x) for x in images]),
        "gradients": np.stack([channels_last(x) for x in gradients[1:]]),
    } | {name: np.stack([net[name] for net in nets]) for name in nets[0]}


def exported(net: torch.nn.Module) -> dict[str, np.ndarray]:
    """Weights by role and block, kernels as [height,width,in,out]."""
    arrays, block = {}, -1
    for layer in net.features:
        if isinstance(layer, torch.nn.Conv2d):
            block += 1
            kernel = layer.weight.detach().permute(2, 3, 1, 0)
            arrays[f"conv{block}/kernel"] = kernel.numpy().copy()
            arrays[f"conv{block}/bias"] = layer.bias.detach().numpy().copy()
        elif getattr(layer, "weight", None) is not None:
            arrays[f"norm{block}/scale"] = layer.weight.detach().numpy().copy()
            arrays[f"norm{block}/bias"] = layer.bias.detach().numpy().copy()
    return arrays


# Timing ----------------------------------------------------------------------------


def serve(program: types.ModuleType, args: argparse.Namespace) -> None:
    """Runs the program's iterations on request, timed from network to network."""
    with np.load(args.data) as file:
        give_data(program, file["image"], file["label"])
    answer = sys.stdout
    original = program.get_network
    started: list[float] = []
    left = 0

    def network(*options: Any) -> torch.nn.Module:
        nonlocal left
        started.append(time.perf_counter())
        if left == 0:
            if len(started) > 1:
                print(json.dumps(np.diff(started).tolist()), file=answer, flush=True)
            line = sys.stdin.readline()
            if not line.strip():
                raise _Finished
            left = int(line)
            started[:] = [time.perf_counter()]
        left -= 1
        return original(*options)

    program.get_network = network
    about = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    print(json.dumps(about), file=answer, flush=True)
    with (
        contextlib.suppress(_Finished),
        command_line(
            model=f"ConvNetW{args.width}",
            ipc=args.ipc,
            num_exp=1,
            Iteration=10**9,
            batch_real=args.batch,
            dsa_strategy="none",
        ),
    ):
        program.main()


if __name__ == "__main__":
    main()
