"""Small checkpoints as PyTorch, safetensors and Lightning write them.

Two narrow residual networks by torchvision's names, with random weights, and their
outputs in float64, so that tests compare without PyTorch:
  python experiments/reference/networks/checkpoint_torch.py tests/networks/golden

checkpoint_basic.{pt,pth,safetensors,ckpt}: basic blocks, 3x3 stem of padding 2; a state
dict in the zip format, the same in the format before it, in safetensors, and under
`backbone.` among all that a Lightning file holds. checkpoint_bottleneck.pt: bottleneck
blocks, 7x7 stem, in bfloat16, under `module.encoder_q.` beside a key encoder.
"""

import argparse
import copy
from collections import Counter
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import nn


class Block(nn.Module):
    """A basic or bottleneck block by torchvision's names."""

    def __init__(self, inputs: int, channels: int, stride: int, bottleneck: bool):
        super().__init__()
        sizes, strided = ((1, 3, 1), 2) if bottleneck else ((3, 3), 1)
        outputs, before = channels * 4 if bottleneck else channels, inputs
        for number, size in enumerate(sizes, 1):
            after = outputs if number == len(sizes) else channels
            step = stride if number == strided else 1
            layer = nn.Conv2d(before, after, size, step, size // 2, bias=False)
            self.add_module(f"conv{number}", layer)
            self.add_module(f"bn{number}", nn.BatchNorm2d(after))
            before = after
        self.downsample = None
        if stride != 1 or inputs != outputs:
            project = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(project, nn.BatchNorm2d(outputs))
        self.count = len(sizes)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        out = image
        for number in range(1, self.count + 1):
            out = getattr(self, f"bn{number}")(getattr(self, f"conv{number}")(out))
            out = torch.relu(out) if number < self.count else out
        image = image if self.downsample is None else self.downsample(image)
        return torch.relu(out + image)


class ResNet(nn.Module):
    """A residual network by torchvision's names."""

    def __init__(self, counts, channels: int, bottleneck: bool, imagenet: bool):
        super().__init__()
        form = (7, 2, 3) if imagenet else (3, 1, 2)
        self.conv1 = nn.Conv2d(3, channels, *form, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if imagenet else nn.Identity()
        self.stages = len(counts)
        inputs = channels
        for stage, count in enumerate(counts):
            width, blocks = channels << stage, []
            for index in range(count):
                stride = 2 if stage and not index else 1
                blocks.append(Block(inputs, width, stride, bottleneck))
                inputs = width * 4 if bottleneck else width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inputs, 3)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        image = self.maxpool(torch.relu(self.bn1(self.conv1(image))))
        for stage in range(self.stages):
            image = getattr(self, f"layer{stage + 1}")(image)
        features = image.mean((2, 3))
        return features, self.fc(features)


def made(seed: int, *form) -> ResNet:
    """A network with random weights and running statistics, exact in bfloat16."""
    torch.manual_seed(seed)
    network = ResNet(*form).eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                draw = 0.4 * torch.randn(value.shape)
                draw = draw.abs() + 0.5 if "var" in name else draw
                value.copy_(draw.bfloat16())
            else:
                value.fill_(7)
    return network


def expected(network: ResNet, shape: tuple[int, int, int, int]) -> dict:
    """An image [n,h,w,c] and what the network makes of it in float64."""
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    given = torch.as_tensor(image.transpose(0, 3, 1, 2).copy()).double()
    with torch.no_grad():
        features, logits = copy.deepcopy(network).double()(given)
    return {"image": image, "features": features.numpy(), "logits": logits.numpy()}


def lightning(network: ResNet) -> dict:
    """A self-supervised run's checkpoint with everything such files usually hold."""
    body = {n: v for n, v in network.state_dict().items() if not n.startswith("fc.")}
    head = nn.Linear(8, 3)
    optimiser = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    head(torch.ones(2, 8)).sum().backward()
    optimiser.step()
    named = {f"backbone.{name}": value for name, value in body.items()}
    named |= {f"momentum_backbone.{name}": value + 1 for name, value in body.items()}
    named |= {"projector.0.weight": head.weight, "projector.0.bias": head.bias}
    return {
        "epoch": 3,
        "global_step": 12,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": nn.modules.module.OrderedDict(named),
        "callbacks": {
            "ModelCheckpoint": {
                "best_model_score": torch.tensor(0.5),
                "best_k_models": {},
                "dirpath": Path("runs") / "barlow",
            }
        },
        "optimizer_states": [optimiser.state_dict()],
        "lr_schedulers": [{"milestones": Counter({60: 1}), "_last_lr": [0.1]}],
        "hyper_parameters": argparse.Namespace(lr=np.float64(0.3), device="cuda"),
        "rng": torch.device("cpu"),
        "dtype": torch.float32,
        "shape": torch.ones(2, 3).shape,
    }


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    basic = made(0, (1, 2), 4, False, False)
    weights = basic.state_dict()
    start = folder / "checkpoint_basic"
    torch.save(weights, start.with_suffix(".pt"))
    torch.save(weights, start.with_suffix(".pth"), _use_new_zipfile_serialization=False)
    safetensors.torch.save_file(
        weights, start.with_suffix(".safetensors"), metadata={"format": "pt"}
    )
    torch.save(lightning(basic), start.with_suffix(".ckpt"))
    np.savez(folder / "checkpoint_basic.npz", **expected(basic, (2, 9, 9, 3)))

    deep = made(1, (1, 1), 2, True, True)
    named = {f"module.encoder_q.{n}": v for n, v in deep.state_dict().items()}
    named |= {f"module.encoder_k.{n}": v + 1 for n, v in deep.state_dict().items()}
    halves = {n: v.bfloat16() if v.ndim else v for n, v in named.items()}
    torch.save({"epoch": 1, "model": halves}, folder / "checkpoint_bottleneck.pt")
    wide = (2, 33, 30, 3)
    np.savez(folder / "checkpoint_bottleneck.npz", **expected(deep, wide))


if __name__ == "__main__":
    main()
