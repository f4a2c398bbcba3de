"""PyTorch's side of benches/teacher.py: a Barlow Twins step, and its layers, on CPU.

The ResNet-18 of networks_torch.py in 64 channels with a projector, two views a step,
SGD with momentum. It answers as `Reference` in ../../references.py expects:
  teacher_torch.py step --batch N        a number asks for so many steps
  teacher_torch.py layers --batch N      a number asks for the layer of that number
Layers are read from standard input first, as a JSON list; each is run forwards and
backwards. `--channels-last` stores images and kernels in that order.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from networks_torch import resnet
from torch import nn

SHAPE, FEATURES = (3, 32, 32), 512


def main() -> None:
    """Answers on standard output until an empty line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("what", choices=["step", "layers"])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=0, help="0 = as PyTorch chooses")
    parser.add_argument("--channels-last", action="store_true")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    if options.what == "step":
        step = make_step(options)
        answer = lambda number: [seconds(step) for _ in range(number)]
    else:
        layers = [make_layer(spec, options) for spec in json.loads(input())]
        answer = lambda number: [seconds(layers[number])]
    say(
        {
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "channels last": options.channels_last,
        }
    )
    for line in sys.stdin:
        if not line.strip():
            return
        say(answer(int(line)))


def say(value: Any) -> None:
    """A line of JSON."""
    print(json.dumps(value), flush=True)


def seconds(run: Callable[[], None]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def make_step(options: argparse.Namespace) -> Callable[[], None]:
    """A training step on two fixed batches."""
    network = resnet((2, 2, 2, 2), 64, 1)
    network.head = nn.Sequential(
        *hidden(FEATURES), *hidden(2048), nn.Linear(2048, 2048)
    )
    order = memory_order(options)
    network.to(memory_format=order)
    optimiser = torch.optim.SGD(network.parameters(), 0.01, 0.9, weight_decay=1e-4)
    views = [
        torch.randn(options.batch, *SHAPE).contiguous(memory_format=order)
        for _ in range(2)
    ]

    def step() -> None:
        optimiser.zero_grad()
        barlow(*(network(view)[1] for view in views)).backward()
        optimiser.step()

    return step


def hidden(width: int) -> list[nn.Module]:
    """A hidden layer of the projector."""
    return [nn.Linear(width, 2048), nn.BatchNorm1d(2048), nn.ReLU(inplace=True)]


def barlow(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Zbontar et al. (2021), equation 1, at solo-learn's scale."""
    one, two = (
        (z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt()
        for z in (first, second)
    )
    correlation = one.T @ two / len(one)
    diagonal = correlation.diagonal()
    rest = correlation.square().sum() - diagonal.square().sum()
    return 0.1 * ((diagonal - 1).square().sum() + 0.0051 * rest)


def make_layer(spec: dict[str, Any], options: argparse.Namespace) -> Callable[[], None]:
    """One layer forwards and backwards, by its input unless that is an image."""
    channels, side = spec["channels"], spec["side"]
    size, outputs = spec["size"], spec["outputs"]
    if size:
        layer: nn.Module = nn.Conv2d(
            channels, outputs, size, spec["stride"], spec["padding"], bias=False
        )
    else:
        layer = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))
    order = memory_order(options)
    layer.to(memory_format=order)
    shape = (options.batch, channels, side, side)
    image = torch.randn(shape).contiguous(memory_format=order)
    image.requires_grad_(channels > 3)
    gradient = torch.ones_like(layer(image))

    def run() -> None:
        layer(image).backward(gradient)
        for array in (image, *layer.parameters()):
            array.grad = None

    return run


def memory_order(options: argparse.Namespace) -> torch.memory_format:
    """PyTorch's usual order, or height, width, channel."""
    return torch.channels_last if options.channels_last else torch.contiguous_format


if __name__ == "__main__":
    main()
