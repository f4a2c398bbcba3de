"""Trains experts with the authors' own program: to read a file of theirs, and for time.

The program is GeorgeCazenavette/mtt-distillation (MIT), given as a checkout; nothing of
it is copied here. Its network and its training function run unchanged; packages it
imports but does not need here are replaced by empty stand-ins.

  sample: two tiny experts of one epoch, saved as their buffer.py saves them, and the
    logits of every snapshot, to replay_buffer_0.pt and logits.npz in a folder
    python experiments/reference/trajectory/experts_torch.py --checkout DIR sample \
        tests/prepare/buffers
  timing: for each number on standard input, runs so many epochs over the given images
    and answers with the seconds of each as JSON; used by experiments/benches/experts.py
    python experiments/reference/trajectory/experts_torch.py --checkout DIR \
        timing IMAGES.npz
"""

import argparse
import json
import os
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

CLASSES, SIDE, CHANNELS, WIDTH, DEPTH = 3, 8, 3, 4, 1
DSA = "color_crop_cutout_flip_scale_rotate"


def main() -> None:
    """Writes the sample, or answers until an empty line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkout", type=Path, required=True)
    modes = parser.add_subparsers(dest="mode", required=True)
    sampled = modes.add_parser("sample")
    sampled.add_argument("out", type=Path)
    timing = modes.add_parser("timing")
    timing.add_argument("images", type=Path, help=".npz: image [n,h,w,c], label [n]")
    timing.add_argument("--width", type=int, default=128)
    timing.add_argument("--batch", type=int, default=256)
    timing.add_argument("--threads", type=int, default=0, help="0 = as PyTorch chooses")
    options = parser.parse_args()
    program = load_program(options.checkout)
    if options.mode == "sample":
        sample(program, options.out)
    else:
        serve(program, options)


def load_program(checkout: Path) -> types.ModuleType:
    """The authors' utils, with stand-ins for what it does not need."""
    for name, attributes in {
        "kornia": (),
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


def expert(program: types.ModuleType, *shape: int) -> torch.nn.Module:
    """A ConvNet: channels, classes, width, depth, side."""
    channels, classes, width, depth, side = shape
    kinds = ("relu", "instancenorm", "avgpooling")
    return program.ConvNet(
        channels, classes, width, depth, *kinds, im_size=(side, side)
    )


def settings(program: types.ModuleType) -> Any:
    """What the training function reads from the command line."""
    return types.SimpleNamespace(
        device="cpu",
        dataset="CIFAR10",
        dsa=True,
        dsa_strategy=DSA,
        dsa_param=program.ParamDiffAug(),
    )


def loader(program: types.ModuleType, image: np.ndarray, label: np.ndarray, batch: int):
    """Their shuffled batches of images [n,h,w,c], the last one partial."""
    images = torch.from_numpy(image.astype(np.float32)).permute(0, 3, 1, 2).contiguous()
    pairs = program.TensorDataset(images, torch.from_numpy(label.astype(np.int64)))
    return torch.utils.data.DataLoader(pairs, batch_size=batch, shuffle=True)


def epoch(program: types.ModuleType, net: torch.nn.Module, batches: Any) -> None:
    """One epoch of their training, as their buffer.py calls it."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0, weight_decay=0)
    loss = torch.nn.CrossEntropyLoss()
    args = settings(program)
    program.epoch("train", batches, net, optimizer, loss, args, aug=True)


def sample(program: types.ModuleType, folder: Path) -> None:
    """A file of trajectories, and what every snapshot of it says of some images."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    image = rng.standard_normal((12, SIDE, SIDE, CHANNELS)).astype(np.float32)
    batches = loader(program, image, np.arange(12) % CLASSES, 5)
    inputs = torch.from_numpy(image[:4]).permute(0, 3, 1, 2).contiguous()
    trajectories, logits = [], []
    for _ in range(2):
        net = expert(program, CHANNELS, CLASSES, WIDTH, DEPTH, SIDE)
        snapshots = []
        for number in range(2):
            if number:
                epoch(program, net, batches)
            # On a GPU `.cpu()` copies; here the copy must be made.
            snapshots.append([p.detach().cpu().clone() for p in net.parameters()])
            logits.append(net(inputs).detach().numpy())
        trajectories.append(snapshots)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(trajectories, folder / "replay_buffer_0.pt")
    shaped = np.stack(logits).reshape(2, 2, 4, CLASSES)
    np.savez(folder / "logits.npz", image=image[:4], logits=shaped)


def serve(program: types.ModuleType, options: argparse.Namespace) -> None:
    """Answers with wall and processor seconds of each epoch that is asked for."""
    if options.threads:
        torch.set_num_threads(options.threads)
    with np.load(options.images) as file:
        image, label = file["image"], file["label"]
    classes, side = int(label.max()) + 1, image.shape[1]
    batches = loader(program, image, label, options.batch)
    net = expert(program, image.shape[-1], classes, options.width, 3, side)
    net.train()
    about = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    answer(about | {"processes": os.cpu_count()})
    for line in sys.stdin:
        if not line.strip():
            return
        answer([timed(program, net, batches) for _ in range(int(line))])


def timed(program: types.ModuleType, net: Any, batches: Any) -> dict[str, float]:
    """Wall and processor seconds of an epoch."""
    wall, cpu = time.perf_counter(), time.process_time()
    epoch(program, net, batches)
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def answer(value: Any) -> None:
    """One line of JSON."""
    print(json.dumps(value), flush=True)


if __name__ == "__main__":
    main()
