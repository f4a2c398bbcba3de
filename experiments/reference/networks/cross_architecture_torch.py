"""Values and gradients of the field's networks, from the authors' own classes.

Runs checkouts of VICO-UoE/DatasetCondensation (MIT, commit 53f63a6, networks.py),
justincui03/dc_benchmark (MIT, commit 2a57711, networks/vit.py) and
kuangliu/pytorch-cifar (MIT, commit 49b7aa9, models/mobilenetv2.py); nothing of them is
copied here. Their classes have fixed widths, so while one is made its layers are
replaced by ones DIVIDE times narrower:
  python experiments/reference/networks/cross_architecture_torch.py \
      tests/networks/golden --condensation DIR --benchmark DIR --cifar DIR

Arrays of a file, in this project's layout: image [n,h,w,c]; params/..., stats/...
before the step; features and logits in eval and train mode; stats_after/...; of the
squared logits summed, in train mode: image_gradient on every THINNED-th pixel, and
weight_gradient of the first weights.
"""

import argparse
import re
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

Arrays = dict[str, np.ndarray]
Rename = Callable[[str], str]
CLASSES, DIVIDE, THINNED = 3, 32, 3
_KEPT = (1, 3, CLASSES, 28 * 28)  # sizes that belong to images and labels
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 1, 2), (6, 64, 1, 2), (6, 320, 1, 2))


def narrow(divide: int) -> types.SimpleNamespace:
    """torch.nn with layers that many times narrower than asked for."""

    def less(count: int) -> int:
        return count if count in _KEPT else count // divide

    def convolution(inputs, outputs, *args, groups=1, **options):
        groups = groups if groups == 1 else less(groups)
        return nn.Conv2d(less(inputs), less(outputs), *args, groups=groups, **options)

    layers = dict(vars(nn))
    layers["Conv2d"] = convolution
    layers["BatchNorm2d"] = lambda channels, **options: nn.BatchNorm2d(less(channels))
    layers["GroupNorm"] = lambda g, c, **options: nn.GroupNorm(less(g), less(c))
    layers["Linear"] = lambda inputs, outputs: nn.Linear(less(inputs), less(outputs))
    return types.SimpleNamespace(**layers)


def made(module: types.ModuleType, name: str, *args, divide=1, **options) -> nn.Module:
    """A class of a checkout, narrowed."""
    plain, module.nn = module.nn, narrow(divide)
    try:
        return getattr(module, name)(*args, **options)
    finally:
        module.nn = plain


def by_order(network: nn.Module) -> Rename:
    """Names of plain networks: conv_0, norm_0, ..., dense_0, ..., head."""
    names, counts = {}, {"conv": 0, "dense": 0}
    for path, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            kind = "conv" if isinstance(layer, nn.Conv2d) else "dense"
            names[path] = f"{kind}_{counts[kind]}"
            counts[kind] += 1
        elif isinstance(layer, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
            names[path] = f"norm_{counts['conv'] - 1}"
    names[list(names)[-1]] = "head"
    return names.__getitem__


def of_resnet(path: str) -> str:
    """Names of residual networks."""
    ends = {"conv1": "stem", "bn1": "stem_norm", "classifier": "head"}
    if path in ends:
        return ends[path]
    stage, index, layer = re.fullmatch(r"layer(\d)\.(\d)\.(.*)", path).groups()
    if layer.startswith("shortcut"):
        layer = "shortcut" if layer.endswith("0") else "shortcut_norm"
    else:
        layer = re.sub(r"(conv|bn)(\d)", _counted, layer)
    return f"stage_{int(stage) - 1}_{index}_{layer}"


def _counted(match: re.Match) -> str:
    kind = "conv" if match[1] == "conv" else "norm"
    return f"{kind}_{int(match[2]) - 1}"


def of_mobilenet(path: str) -> str:
    """Names of MobileNetV2, whose blocks the checkout counts through."""
    ends = {"conv1": "stem", "bn1": "stem_norm", "conv2": "last", "bn2": "last_norm"}
    if path in ends or path == "linear":
        return ends.get(path, "head")
    number, layer = re.fullmatch(r"layers\.(\d+)\.(.*)", path).groups()
    stage, index = 0, int(number)
    while index >= _STAGES[stage][2]:
        index -= _STAGES[stage][2]
        stage += 1
    inside = {"1": "widen", "2": "filter", "3": "narrow"}
    if layer.startswith("shortcut"):
        layer = "shortcut" if layer.endswith("0") else "shortcut_norm"
    else:
        layer = inside[layer[-1]] + ("_norm" if layer.startswith("bn") else "")
    return f"stage_{stage}_{index}_{layer}"


def of_vit(path: str) -> str:
    """Names of the vision transformer."""
    ends = {"to_patch_embedding.1": "embed", "mlp_head.0": "norm", "mlp_head.1": "head"}
    if path in ends:
        return ends[path]
    index, layer = re.fullmatch(r"transformer\.layers\.(\d+)\.(.*)", path).groups()
    inside = {
        "0.norm": "norm_0",
        "0.fn.to_qkv": "qkv",
        "0.fn.to_out.0": "out",
        "1.norm": "norm_1",
        "1.fn.net.0": "mlp_0",
        "1.fn.net.3": "mlp_1",
    }
    return f"block_{index}_{inside[layer]}"


def condensation(module: types.ModuleType) -> Iterator[tuple]:
    """Name, network, renaming and image shape of Zhao and Bilen's networks."""
    grey, colour = (2, 28, 28, 1), (2, 32, 32, 3)

    def plain(name, channels, **options):
        network = made(module, name, channels, CLASSES, **options)
        return network, by_order(network)

    for norm, activation, pooling in (
        ("none", "sigmoid", "maxpooling"),
        ("groupnorm", "leakyrelu", "none"),
        ("batchnorm", "swish", "avgpooling"),
    ):
        settings = {"net_width": 4, "net_depth": 2, "net_act": activation}
        settings |= {"net_norm": norm, "net_pooling": pooling, "im_size": (8, 8)}
        yield f"convnet_{activation}", *plain("ConvNet", 3, **settings), (2, 8, 8, 3)
    yield "mlp", *plain("MLP", 1, divide=DIVIDE), grey
    yield "lenet", *plain("LeNet", 1), grey
    yield "alexnet", *plain("AlexNet", 1, divide=DIVIDE), grey
    yield "alexnet_bn", *plain("AlexNetBN", 3, divide=DIVIDE), colour
    yield "vgg11", *plain("VGG11", 1, divide=DIVIDE), grey
    yield "vgg11_bn", *plain("VGG11BN", 3, divide=DIVIDE), colour
    for name, ours, shape in (
        ("ResNet18", "resnet18", colour),
        ("ResNet18BN", "resnet18_bn", grey),
        ("ResNet18_AP", "resnet18_ap", grey),
    ):
        network = made(module, name, shape[-1], CLASSES, divide=DIVIDE)
        yield ours, network, of_resnet, shape


def transformers(module: types.ModuleType) -> Iterator[tuple]:
    """DC-BENCH's, and the same without normalisation, as GLaD has it."""
    sizes = {"image_size": 8, "patch_size": 4, "dim": 8, "depth": 2, "heads": 2}
    sizes |= {"dim_head": 4, "mlp_dim": 12, "num_classes": CLASSES}
    shape = (2, 8, 8, 3)
    yield "vit", module.ViT(**sizes), of_vit, shape
    plain, nn.LayerNorm = nn.LayerNorm, lambda width: nn.Identity()
    try:
        yield "vit_glad", module.ViT(**sizes), of_vit, shape
    finally:
        nn.LayerNorm = plain


def randomise(network: nn.Module, rng: np.random.Generator) -> None:
    """Random weights and running statistics, of few digits so that files pack well."""
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if not value.is_floating_point():
                continue
            draw = rng.normal(size=tuple(value.shape))
            if "var" in name:
                draw = np.abs(draw) + 0.5
            elif value.ndim == 1:  # of a norm, or a bias
                draw = 0.5 + 0.4 * draw if name.endswith("weight") else 0.4 * draw
            else:
                draw *= 1.5 / np.sqrt(np.prod(value.shape[1:]))
            value.copy_(torch.as_tensor(np.round(draw * 64) / 64))


def layout(network: nn.Module, rename: Rename, channels: int) -> Arrays:
    """Weights under params/..., running statistics under stats/..."""
    arrays: Arrays = {}
    vectors = {"running_mean": "mean", "running_var": "var", "bias": "bias"}
    for path, layer in network.named_modules():
        for leaf, value in (*layer._parameters.items(), *layer._buffers.items()):
            if value is None or not value.is_floating_point():
                continue
            array = value.detach().double().numpy().copy()
            if not isinstance(layer, nn.Conv2d | nn.Linear) and leaf == "weight":
                arrays[f"params/{rename(path)}/scale"] = array
            elif leaf == "weight":
                arrays[f"params/{rename(path)}/kernel"] = turned(array, channels)
                channels = array.shape[0] if array.ndim == 4 else 0  # of the next map
            elif leaf in vectors:
                kind = "stats" if "running" in leaf else "params"
                arrays[f"{kind}/{rename(path)}/{vectors[leaf]}"] = array
            else:  # the transformer's own
                ours = {"pos_embedding": "place", "cls_token": "class_token"}[leaf]
                arrays[f"params/{ours}"] = array
    return arrays


def turned(array: np.ndarray, channels: int) -> np.ndarray:
    """A kernel as [h,w,c,o]; a matrix as [c,o], its inputs ordered row, column, c."""
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    if array.ndim == 2:
        return flat(array, channels).T
    return array


def flat(array: np.ndarray, channels: int) -> np.ndarray:
    """Columns of a flattened map [n,c*h*w], reordered to row, column, channel."""
    if not channels or array.shape[1] % channels:
        return array
    side = round((array.shape[1] // channels) ** 0.5)
    maps = array.reshape(len(array), channels, side, side)
    return maps.transpose(0, 2, 3, 1).reshape(array.shape)


def record(network: nn.Module, rename: Rename, shape: tuple, seed: int) -> Arrays:
    """Everything a test compares."""
    rng = np.random.default_rng(seed)
    network.double()
    randomise(network, rng)
    maps = 0 if rename is of_vit else shape[-1]
    before = layout(network, rename, maps)
    arrays = {n: v.astype(np.float32) for n, v in before.items()}  # exact
    arrays["image"] = (np.round(rng.normal(size=shape) * 16) / 16).astype(np.float32)
    given = torch.as_tensor(arrays["image"].transpose(0, 3, 1, 2).copy()).double()
    given.requires_grad_()
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    seen = []
    layers[-1].register_forward_pre_hook(lambda layer, inputs: seen.append(inputs[0]))
    alone = sum(isinstance(layer, nn.Linear) for layer in layers) == 1
    channels = layers[-2].out_channels if alone else 0
    for mode in ("eval", "train"):
        network.train(mode == "train")
        logits = network(given)
        arrays[f"{mode}/logits"] = logits.detach().numpy()
        arrays[f"{mode}/features"] = flat(seen.pop().detach().numpy(), channels)
    logits.square().sum().backward()
    gradient = given.grad.numpy().transpose(0, 2, 3, 1)
    arrays["image_gradient"] = gradient[:, ::THINNED, ::THINNED]
    first = layers[0].weight.grad.numpy()
    arrays["weight_gradient"] = turned(first, maps)
    after = layout(network, rename, maps)
    stats = {n.replace("stats", "stats_after", 1): v for n, v in after.items()}
    return arrays | {n: v for n, v in stats.items() if n.startswith("stats_after")}


def imported(checkout: Path, name: str) -> types.ModuleType:
    """A module of a checkout."""
    sys.path.insert(0, str(checkout))
    module = __import__(name)
    sys.path.remove(str(checkout))
    return module


def main() -> None:
    """Writes one file for each network."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    for checkout in ("condensation", "benchmark", "cifar"):
        parser.add_argument(f"--{checkout}", type=Path, required=True)
    args = parser.parse_args()
    cases = [*condensation(imported(args.condensation, "networks"))]
    cases += transformers(imported(args.benchmark / "networks", "vit"))
    mobile = imported(args.cifar / "models", "mobilenetv2")
    mobile.MobileNetV2.cfg = _STAGES  # fewer blocks of every form
    network = made(mobile, "MobileNetV2", CLASSES, divide=8)
    cases.append(("mobilenet", network, of_mobilenet, (2, 32, 32, 3)))
    for seed, (name, *case) in enumerate(cases):
        np.savez_compressed(args.folder / f"cross_{name}.npz", **record(*case, seed))


if __name__ == "__main__":
    main()
