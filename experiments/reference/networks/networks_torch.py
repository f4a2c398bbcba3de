"""Forward values, gradients and running statistics of networks written in PyTorch.

Each case is a small network of `torch.nn` layers with random weights, evaluated in
float64 and stored in this project's layout, so that tests compare without PyTorch:
  python experiments/reference/networks/networks_torch.py tests/networks/golden

Arrays of a file: image [n,h,w,c]; params/..., stats/... before the step; features and
logits in eval and train mode; stats_after/... ; image_gradient of the squared logits
summed, in train mode.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

Arrays = dict[str, np.ndarray]


class Body(nn.Module):
    """Named layers in sequence, flattened, then the last Dense layer."""

    def __init__(self, layers: dict[str, nn.Module], width: int, outputs: int):
        super().__init__()
        self.layers = nn.ModuleDict(layers)
        self.head = nn.Linear(width, outputs)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        for layer in self.layers.values():
            image = layer(image)
        if image.ndim == 4:  # this project flattens height, width, channel
            image = image.permute(0, 2, 3, 1)
        features = image.flatten(1)
        return features, self.head(features)


class Block(nn.Module):
    """A block of a residual network: basic, bottleneck, or with averages for strides.

    torchvision's bottleneck strides in its 3x3 convolution. The averaged block (Zhao
    and Bilen, 2021) pools after the first ReLU and before the shortcut's normalisation.
    """

    def __init__(
        self, inputs: int, channels: int, stride: int, kind="basic", norm=None
    ):
        super().__init__()
        norm = norm or nn.BatchNorm2d
        sizes, strided = ((1, 3, 1), 1) if kind == "bottleneck" else ((3, 3), 0)
        outputs = channels * 4 if kind == "bottleneck" else channels
        self.pools = kind == "averaged" and stride > 1
        step, before, self.count = 1 if self.pools else stride, inputs, len(sizes)
        for index, size in enumerate(sizes):
            after = outputs if index == self.count - 1 else channels
            moves = step if index == strided else 1
            layer = nn.Conv2d(before, after, size, moves, size // 2, bias=False)
            self.add_module(f"conv_{index}", layer)
            self.add_module(f"norm_{index}", norm(after))
            before = after
        self.project = stride != 1 or inputs != outputs
        if self.project:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, step, bias=False)
            self.shortcut_norm = norm(outputs)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        out = image
        for index in range(self.count):
            out = getattr(self, f"norm_{index}")(getattr(self, f"conv_{index}")(out))
            if index < self.count - 1:
                out = torch.relu(out)
            if self.pools and not index:
                out = nn.functional.avg_pool2d(out, 2)
        if self.project:
            image = self.shortcut(image)
            image = nn.functional.avg_pool2d(image, 2) if self.pools else image
            image = self.shortcut_norm(image)
        return torch.relu_(out + image)


def convnet(inputs, widths, side, outputs, norm, pooling, padding=1) -> Body:
    """Blocks of convolution, normalisation, ReLU and 2x2 pooling."""
    norms = {
        "batch": lambda c, s: nn.BatchNorm2d(c),
        "instance": lambda c, s: nn.GroupNorm(c, c),
        "group": lambda c, s: nn.GroupNorm(4, c),
        "layer": lambda c, s: nn.LayerNorm([c, s, s]),
    }
    layers: dict[str, nn.Module] = {}
    side += 2 * (padding - 1)
    for index, width in enumerate(widths):
        layers[f"conv_{index}"] = nn.Conv2d(
            inputs, width, 3, padding=1 if index else padding
        )
        layers[f"norm_{index}"] = norms[norm](width, side)
        layers[f"relu_{index}"] = nn.ReLU()
        layers[f"pool_{index}"] = pooling(2)
        inputs, side = width, side // 2
    return Body(layers, inputs * side * side, outputs)


def resnet(counts, channels, outputs, kind="basic", stem="pad2", norm=None, pixels=1):
    """Residual network with a stem by name; averaged ones end with `pixels`."""
    form = {"pad2": (3, 1, 2), "pad1": (3, 1, 1), "imagenet": (7, 2, 3)}[stem]
    layers: dict[str, nn.Module] = {
        "stem": nn.Conv2d(3, channels, *form, bias=False),
        "stem_norm": (norm or nn.BatchNorm2d)(channels),
        "relu": nn.ReLU(inplace=True),
    }
    if stem == "imagenet":
        layers["max"] = nn.MaxPool2d(3, 2, 1)
    inputs = channels
    for stage, count in enumerate(counts):
        for index in range(count):
            width, stride = channels << stage, 2 if stage and not index else 1
            layers[f"stage_{stage}_{index}"] = Block(inputs, width, stride, kind, norm)
            inputs = width * 4 if kind == "bottleneck" else width
    if kind != "averaged":
        layers["pool"] = nn.AdaptiveAvgPool2d(1)
    return Body(layers, inputs * pixels, outputs)


def mlp(inputs, widths, outputs) -> Body:
    """Dense layers with ReLU on images flattened as height, width, channel."""
    layers: dict[str, nn.Module] = {"flatten": Flatten()}
    for index, width in enumerate(widths):
        layers[f"dense_{index}"] = nn.Linear(inputs, width)
        layers[f"relu_{index}"] = nn.ReLU()
        inputs = width
    return Body(layers, inputs, outputs)


class Flatten(nn.Module):
    """Flattens [n,c,h,w] in this project's order."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.permute(0, 2, 3, 1).flatten(1)


def cases() -> Iterator[tuple[str, Body, tuple[int, int, int, int]]]:
    """Name, network and image shape [n,h,w,c] of every file."""
    avg, most = nn.AvgPool2d, nn.MaxPool2d
    yield "convnet_batch", convnet(3, (4, 6), 9, 3, "batch", avg), (5, 9, 9, 3)
    grey = convnet(1, (3, 4, 5), 28, 3, "instance", avg, padding=3)
    yield "convnet_instance", grey, (2, 28, 28, 1)
    yield "convnet_group", convnet(3, (4, 8), 8, 3, "group", most), (2, 8, 8, 3)
    yield "convnet_layer", convnet(3, (4, 6), 8, 3, "layer", avg), (2, 8, 8, 3)
    yield "resnet18", resnet((2, 2, 2, 2), 2, 3), (3, 7, 7, 3)
    yield "mlp", mlp(48, (6, 5), 3), (3, 4, 4, 3)
    bottleneck = resnet((1, 2, 1), 2, 3, "bottleneck", "pad1")
    yield "resnet_bottleneck", bottleneck, (3, 7, 7, 3)
    yield "resnet_imagenet", resnet((1, 1), 2, 3, stem="imagenet"), (3, 21, 18, 3)
    instance = lambda channels: nn.GroupNorm(channels, channels)
    averaged = resnet((1, 1, 1), 2, 3, "averaged", "pad1", instance, 4)
    yield "resnet_averaged", averaged, (3, 8, 9, 3)


def randomise(network: nn.Module, rng: np.random.Generator) -> None:
    """Random weights and running statistics, away from their special first values."""
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point():
                draw = rng.normal(size=tuple(value.shape))
                centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                draw = np.abs(draw) + 0.5 if "var" in name else centre + 0.4 * draw
                value.copy_(torch.as_tensor(draw.astype(np.float32)))


def layout(network: nn.Module) -> Arrays:
    """Weights under params/..., running statistics under stats/..."""
    named = {
        "weight": "kernel",
        "running_mean": "mean",
        "running_var": "var",
    }
    arrays = {}
    for path, value in network.state_dict().items():
        *owner, leaf = path.removeprefix("layers.").split(".")
        if not value.is_floating_point():
            continue
        array, norm = value.double().numpy().copy(), "norm" in owner[-1]
        if array.ndim in (3, 4) and leaf in ("weight", "bias"):
            order = (2, 3, 1, 0) if array.ndim == 4 else (1, 2, 0)
            array = array.transpose(order)
        elif array.ndim == 2:
            array = array.T
        kind = "stats" if "running" in leaf else "params"
        leaf = "scale" if norm and leaf == "weight" else named.get(leaf, leaf)
        arrays[f"{kind}/{'_'.join(owner)}/{leaf}"] = array
    return arrays


def record(network: Body, shape: tuple[int, int, int, int], seed: int) -> Arrays:
    """Everything a test compares."""
    rng = np.random.default_rng(seed)
    network.double()
    randomise(network, rng)
    image = rng.normal(size=shape)
    arrays = {n: v.astype(np.float32) for n, v in layout(network).items()}  # exact
    arrays["image"] = image
    given = torch.as_tensor(image.transpose(0, 3, 1, 2).copy()).requires_grad_()
    for mode in ("eval", "train"):
        network.train(mode == "train")
        features, logits = network(given)
        arrays[f"{mode}/features"] = features.detach().numpy()
        arrays[f"{mode}/logits"] = logits.detach().numpy()
    logits.square().sum().backward()
    arrays["image_gradient"] = given.grad.numpy().transpose(0, 2, 3, 1)
    after = layout(network)
    stats = {n.replace("stats", "stats_after", 1): v for n, v in after.items()}
    return arrays | {n: v for n, v in stats.items() if n.startswith("stats_after")}


def main() -> None:
    """Writes one file for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for seed, (name, network, shape) in enumerate(cases()):
        arrays = record(network, shape, seed)
        np.savez_compressed(folder / f"networks_{name}.npz", **arrays)


if __name__ == "__main__":
    main()
