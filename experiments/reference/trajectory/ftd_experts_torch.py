"""Trains an expert with the authors' own sharpness-aware program and watches it.

The program is AngusDujw/FTD-distillation (no licence file), given as a checkout;
nothing of it is copied here. Its training function and its GSAM run unchanged, in
float64 on a tiny problem; packages it imports but does not need are replaced by empty
stand-ins.

  python experiments/reference/trajectory/ftd_experts_torch.py --checkout DIR \
      tests/prepare/golden/ftd_experts.npz

Arrays: image [n,h,w,c], label [n]; rate; for each case rho, alpha, rows [steps,b] and
params/LAYER/LEAF [steps+1,...] in this project's layout, before and after every step.
"""

import argparse
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch

CLASSES, SIDE, CHANNELS, WIDTH, DEPTH = 3, 8, 3, 4, 2
ROWS, BATCH, STEPS, RATE = 12, 6, 3, 0.05
CASES = {"published": (0.01, 1.0), "strong": (0.5, 0.3)}  # rho and alpha


def main() -> None:
    """Writes the golden arrays."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # the program converts its images
    program = load_program(options.checkout)
    np.savez_compressed(options.out, **golden_arrays(program))


def load_program(checkout: Path) -> types.SimpleNamespace:
    """The authors' networks, training function and GSAM."""
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
    sys.path[:0] = [str(checkout), str(checkout / "buffer")]
    from gsam import GSAM, ProportionScheduler
    from networks import ConvNet
    from utils.utils_gsam import TensorDataset, epoch

    return types.SimpleNamespace(
        GSAM=GSAM,
        ProportionScheduler=ProportionScheduler,
        ConvNet=ConvNet,
        TensorDataset=TensorDataset,
        epoch=epoch,
    )


def golden_arrays(program: types.SimpleNamespace) -> dict[str, np.ndarray]:
    """Everything the steps consume and produce, for both cases."""
    rng = np.random.default_rng(0)
    label = np.arange(ROWS) % CLASSES
    image = rng.standard_normal((ROWS, SIDE, SIDE, CHANNELS))
    image += label[:, None, None, None] * 0.3
    arrays = {"image": image, "label": label, "rate": np.float64(RATE)}
    arrays["origin"] = np.array(__doc__)
    for name, (rho, alpha) in CASES.items():
        arrays |= {f"{name}/rho": np.float64(rho), f"{name}/alpha": np.float64(alpha)}
        rows = rng.permuted(np.tile(np.arange(ROWS), (STEPS, 1)), axis=1)[:, :BATCH]
        arrays[f"{name}/rows"] = rows
        history = run(program, image, label, rows, rho, alpha)
        for leaf in history[0]:
            stacked = np.stack([snapshot[leaf] for snapshot in history])
            arrays[f"{name}/params/{leaf}"] = stacked
    return arrays


def run(
    program: types.SimpleNamespace,
    image: np.ndarray,
    label: np.ndarray,
    rows: np.ndarray,
    rho: float,
    alpha: float,
) -> list[dict[str, np.ndarray]]:
    """Parameters before the first step and after each, one batch an epoch."""
    torch.manual_seed(0)
    shape = (CHANNELS, CLASSES, WIDTH, DEPTH, "relu", "instancenorm", "avgpooling")
    net = program.ConvNet(*shape, im_size=(SIDE, SIDE))
    base = torch.optim.SGD(net.parameters(), lr=RATE, momentum=0, weight_decay=0)
    schedule = torch.optim.lr_scheduler.StepLR(base, step_size=10**6, gamma=1)
    rhos = program.ProportionScheduler(
        pytorch_lr_scheduler=schedule,
        max_lr=RATE,
        min_lr=RATE,
        max_value=rho,
        min_value=rho,
    )
    optimizer = program.GSAM(
        params=net.parameters(),
        base_optimizer=base,
        model=net,
        gsam_alpha=alpha,
        rho_scheduler=rhos,
        adaptive=True,
    )
    args: Any = types.SimpleNamespace(device="cpu", dataset="CIFAR10", dsa=True)
    history = [leaves(net)]
    for batch in rows:
        images = torch.from_numpy(image[batch]).permute(0, 3, 1, 2).contiguous()
        pairs = program.TensorDataset(images, torch.from_numpy(label[batch]))
        loader = torch.utils.data.DataLoader(pairs, batch_size=BATCH)
        loss = torch.nn.CrossEntropyLoss()
        program.epoch(
            "train", loader, net, optimizer, loss, args, aug=False, scheduler=schedule
        )
        history.append(leaves(net))
    return history


def leaves(net: torch.nn.Module) -> dict[str, np.ndarray]:
    """The parameters by this project's names, in its layout."""
    found = {}
    for name, tensor in net.named_parameters():
        owner, leaf = name.rsplit(".", 1)
        array = tensor.detach().numpy().copy()
        if owner == "classifier":
            layer = "head"
            if leaf == "weight":
                side = SIDE >> DEPTH
                maps = array.reshape(CLASSES, WIDTH, side, side)
                array = maps.transpose(2, 3, 1, 0).reshape(-1, CLASSES)
        else:
            block, kind = divmod(int(owner.removeprefix("features.")), 4)
            layer = f"{('conv', 'norm')[kind]}_{block}"
            if array.ndim == 4:
                array = array.transpose(2, 3, 1, 0)
        weight = "scale" if layer.startswith("norm") else "kernel"
        found[f"{layer}/{weight if leaf == 'weight' else 'bias'}"] = array
    return found


if __name__ == "__main__":
    main()
