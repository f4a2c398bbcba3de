"""Trains students with the authors' own program (evaluate_synset) and watches it.

The program is VICO-UoE/DatasetCondensation (MIT), given as a checkout; nothing of it is
copied here. Its training function runs unchanged; packages it imports but does not need
here (torchvision, scipy) are replaced by empty stand-ins.

  golden: some epochs in float64 on a tiny problem, across the drop of the learning rate
    and its new optimiser, to an .npz that tests compare with
    python experiments/reference/training/students_torch.py --checkout DIR golden \
        tests/training/golden/students.npz
  timing: for each number on standard input, trains so many students one after the other
    and answers with the seconds of each as JSON; used by benches/students.py
    python experiments/reference/training/students_torch.py --checkout DIR \
        timing SET.npz
"""

import argparse
import contextlib
import json
import os
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

CLASSES, SIDE, CHANNELS, WIDTH, DEPTH = 3, 8, 3, 4, 2
ROWS, RATE = 6, 0.01
DSA = "color_crop_cutout_flip_scale_rotate"
# Epochs are counted from 0 to the number itself, and the rate drops after the epoch
# of half of it plus one: 6 steps with 2 after the drop, and 8 with 2.
CASES = {
    "whole": {"epochs": 5, "batch": 256, "strategy": "none"},
    "colour": {"epochs": 5, "batch": 256, "strategy": "color"},
    "batches": {"epochs": 3, "batch": 4, "strategy": "none"},
}


def main() -> None:
    """Writes the golden arrays, or answers until an empty line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkout", type=Path, required=True)
    modes = parser.add_subparsers(dest="mode", required=True)
    golden = modes.add_parser("golden")
    golden.add_argument("out", type=Path)
    timing = modes.add_parser("timing")
    timing.add_argument("set", type=Path, help=".npz: image [n,h,w,c], label [n]")
    timing.add_argument("--width", type=int, default=128)
    timing.add_argument("--steps", type=int, default=60, help="epochs of each student")
    timing.add_argument("--batch", type=int, default=256)
    timing.add_argument("--strategy", default=DSA)
    timing.add_argument("--threads", type=int, default=0, help="0 = as PyTorch chooses")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # defaults that the program relies on
    program = load_program(options.checkout)
    if options.mode == "golden":
        np.savez_compressed(options.out, **golden_arrays(program))
    else:
        serve(program, options)


def load_program(checkout: Path) -> types.ModuleType:
    """The authors' utils as a module, with stand-ins for what it does not need."""
    for name, attributes in {
        "torchvision": ("datasets", "transforms"),
        "scipy": (),
        "scipy.ndimage": (),
        "scipy.ndimage.interpolation": ("rotate",),
    }.items():
        module = types.ModuleType(name)
        for attribute in attributes:
            setattr(module, attribute, None)
        sys.modules[name] = module
    sys.path.insert(0, str(checkout))
    import utils

    return utils


def settings(program: types.ModuleType, **chosen: Any) -> types.SimpleNamespace:
    """What the program reads from its command line."""
    return types.SimpleNamespace(
        device="cpu",
        lr_net=RATE,
        dsa=True,
        dsa_strategy=chosen["strategy"],
        dsa_param=program.ParamDiffAug(),
        epoch_eval_train=chosen["epochs"],
        batch_train=chosen["batch"],
    )


def train_student(
    program: types.ModuleType,
    net: torch.nn.Module,
    image: torch.Tensor,
    label: torch.Tensor,
    **chosen: Any,
) -> None:
    """One student; it must be tested on something, so on one image."""
    test = [(image[:1], label[:1])]
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
        program.evaluate_synset(0, net, image, label, test, settings(program, **chosen))


def convnet(
    channels: int, classes: int, width: int, depth: int, shape: tuple[int, ...]
) -> torch.nn.Module:
    """The authors' ConvNet with its usual layers."""
    import networks

    layers = ("relu", "instancenorm", "avgpooling")
    return networks.ConvNet(channels, classes, width, depth, *layers, shape)


def channels_first(image: np.ndarray) -> torch.Tensor:
    """[n,h,w,c] as PyTorch keeps images."""
    return torch.from_numpy(image).permute(0, 3, 1, 2).contiguous()


# Golden steps ----------------------------------------------------------------------


def golden_arrays(program: types.ModuleType) -> dict[str, np.ndarray]:
    """Everything that the steps of each case consume and produce."""
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # the program converts its images
    rng = np.random.default_rng(0)
    label = np.arange(ROWS) % CLASSES
    image = rng.standard_normal((ROWS, SIDE, SIDE, CHANNELS))
    image += label[:, None, None, None] * 0.3
    arrays = {"image": image, "label": label, "origin": np.array(__doc__)}
    for name, case in CASES.items():
        torch.manual_seed(7)
        net = convnet(CHANNELS, CLASSES, WIDTH, DEPTH, (SIDE, SIDE))
        with watched(program, net) as record:
            given = channels_first(image), torch.from_numpy(label)
            train_student(program, net, *given, **case)
        arrays |= {f"{name}/{what}": value for what, value in collected(record).items()}
    return arrays


@contextlib.contextmanager
def watched(
    program: types.ModuleType, net: torch.nn.Module
) -> Iterator[dict[str, list]]:
    """Records rows, draws, images, losses, rates, gradients and parameters."""
    names = ("rows", "draws", "images", "loss", "rate", "restarts", "norms")
    record: dict[str, list] = {name: [] for name in names}
    record["parameters"] = [exported(net)]
    kept = torch.optim.SGD, torch.rand, torch.Tensor.backward, program.TensorDataset

    class Rows(kept[3]):
        def __getitem__(self, row: int) -> Any:
            record["rows"].append(row)
            return super().__getitem__(row)

    class Recorder(kept[0]):
        def __init__(self, *args: Any, **options: Any) -> None:
            record["restarts"].append(len(record["rate"]))
            super().__init__(*args, **options)

        def step(self, closure: Any = None) -> None:
            gradients = exported(net, lambda parameter: parameter.grad)
            norms = {name: np.linalg.norm(value) for name, value in gradients.items()}
            record["norms"].append(norms)
            record["rate"].append(self.param_groups[0]["lr"])
            super().step(closure)
            record["parameters"].append(exported(net))

    def drawn(*args: Any, **options: Any) -> torch.Tensor:
        record["draws"].append(kept[1](*args, **options))
        return record["draws"][-1]

    def recorded(loss: torch.Tensor) -> None:
        record["loss"].append(loss.item())
        kept[2](loss)

    def seen(module: torch.nn.Module, inputs: tuple) -> None:
        if module.training:
            record["images"].append(inputs[0].permute(0, 2, 3, 1).numpy().copy())

    hook = net.register_forward_pre_hook(seen)
    torch.optim.SGD, torch.rand, torch.Tensor.backward = Recorder, drawn, recorded
    program.TensorDataset = Rows
    try:
        yield record
    finally:
        hook.remove()
        torch.optim.SGD, torch.rand, torch.Tensor.backward = kept[:3]
        program.TensorDataset = kept[3]


def collected(record: dict[str, list]) -> dict[str, np.ndarray]:
    """The record as arrays; steps of fewer images are filled up with rows of -1."""
    counts = [len(images) for images in record["images"]]
    most, steps = max(counts), len(counts)
    rows = np.full((steps, most), -1)
    place = 0
    for step, count in enumerate(counts):
        rows[step, :count] = record["rows"][place : place + count]
        place += count
    arrays = {name: np.array(record[name]) for name in ("loss", "rate", "restarts")}
    arrays["rows"] = rows
    if record["draws"]:  # brightness, saturation, contrast of each image
        draws = torch.stack(record["draws"]).numpy()
        arrays["draws"] = draws.reshape(steps, 3, most)
        arrays["images"] = np.stack(record["images"])
    for name in record["parameters"][0]:
        arrays[f"params/{name}"] = np.stack([one[name] for one in record["parameters"]])
        arrays[f"norms/{name}"] = np.array([one[name] for one in record["norms"]])
    return arrays


def exported(
    net: torch.nn.Module, part: Callable[[Any], Any] = lambda parameter: parameter
) -> dict[str, np.ndarray]:
    """Parameters, or a part of each, by our names and in our order of axes."""
    arrays, block = {}, -1
    for layer in net.features:
        if isinstance(layer, torch.nn.Conv2d):
            block += 1
            arrays[f"conv_{block}/kernel"] = part(layer.weight).permute(2, 3, 1, 0)
            arrays[f"conv_{block}/bias"] = part(layer.bias)
        elif isinstance(layer, torch.nn.GroupNorm):
            arrays[f"norm_{block}/scale"] = part(layer.weight)
            arrays[f"norm_{block}/bias"] = part(layer.bias)
    head = part(net.classifier.weight)
    side = SIDE // 2**DEPTH
    maps = head.reshape(CLASSES, WIDTH, side, side).permute(2, 3, 1, 0)
    arrays["head/kernel"] = maps.reshape(-1, CLASSES)
    arrays["head/bias"] = part(net.classifier.bias)
    return {name: value.detach().numpy().copy() for name, value in arrays.items()}


# Timing ----------------------------------------------------------------------------


def serve(program: types.ModuleType, options: argparse.Namespace) -> None:
    """Trains students on request and answers with their seconds."""
    if options.threads:
        torch.set_num_threads(options.threads)
    with np.load(options.set) as file:
        image = channels_first(file["image"].astype(np.float32))
        label = torch.from_numpy(file["label"].astype(np.int64))
    if len(label) > options.batch:
        raise SystemExit("timing counts a step an epoch: give a set of one batch")
    shape, classes = tuple(image.shape[2:]), int(label.max()) + 1
    about = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    print(json.dumps(about), flush=True)

    def student() -> dict[str, float]:
        net = convnet(image.shape[1], classes, options.width, 3, shape)
        began = time.perf_counter(), time.process_time()
        chosen = {"epochs": options.steps - 1, "batch": options.batch}
        train_student(program, net, image, label, strategy=options.strategy, **chosen)
        wall, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
        return {"wall": wall, "cpu": cpu}

    for line in sys.stdin:
        if not line.strip():
            return
        print(json.dumps([student() for _ in range(int(line))]), flush=True)


if __name__ == "__main__":
    main()
