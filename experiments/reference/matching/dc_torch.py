"""Runs the authors' gradient-matching program (main.py) and watches it.

The program is VICO-UoE/DatasetCondensation (MIT) at commit 53f63a6, given as a
checkout; nothing of it is copied here. Its `main` runs unchanged: data, imports without
use here and evaluation are replaced as in dm_torch.py, and its image optimiser, its
permutations, its networks and its augmentation draws are recorded. In float64, on a
tiny problem: DC with instance and with batch norm, its three distances, and DSA.

  python experiments/reference/matching/dc_torch.py --checkout DIR \
      tests/methods/matching/golden/dc.npz
"""

import argparse
import contextlib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dm_torch
import numpy as np
import torch

CLASSES, SIDE, CHANNELS = 3, 8, 3
IPC, BATCH = 2, 6
MATCHINGS, EPOCHS = 2, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    dm_torch.load_program(args.checkout)  # puts the stand-ins in place
    import main as program

    program.get_eval_pool = lambda *args: []
    np.savez_compressed(args.out, **golden_arrays(program))


def golden_arrays(program: types.ModuleType) -> dict[str, np.ndarray]:
    """Everything one iteration of two matchings consumes and produces, by case."""
    torch.set_default_dtype(torch.float64)
    torch.float = torch.float64  # the program names the precision of its images
    torch.Tensor.float = torch.Tensor.double
    rng = np.random.default_rng(0)
    # As many images as a batch: batch norm's statistics then come from the same ones.
    label = np.repeat(np.arange(CLASSES), BATCH)
    image = rng.standard_normal((len(label), SIDE, SIDE, CHANNELS))
    image += label[:, None, None, None] * 0.3
    arrays = {"image": image, "label": label, "origin": np.array(__doc__)}
    dm_torch.give_data(program, image, label)
    cases = {
        "instance": {},
        "batch": {"norm": "batchnorm", "model": "ConvNetBN"},
        "mse": {"dis_metric": "mse"},
        "cos": {"dis_metric": "cos"},
        "siamese": {"method": "DSA", "dsa_strategy": "color"},
    }
    for name, options in cases.items():
        record = run_recorded(program, **options)
        arrays |= {f"{name}/{key}": value for key, value in record.items()}
    return arrays


def run_recorded(
    program: types.ModuleType, norm: str = "instancenorm", **options: str
) -> dict[str, np.ndarray]:
    """One iteration of the program: images, losses, networks and draws of each step."""
    record: dict[str, list] = {name: [] for name in ("rows", "loss", "image", "slope")}
    nets: list[torch.nn.Module] = []
    weights: list[dict[str, np.ndarray]] = []
    # One epoch between the matchings where its augmentation is replayed.
    siamese = options.get("method") == "DSA"
    epochs = 1 if siamese else EPOCHS
    program.get_loops = lambda ipc: (MATCHINGS, epochs)
    program.get_network = lambda *args: new_network(nets, norm)
    words = {"model": "ConvNet"} | options
    torch.manual_seed(7)
    np.random.seed(1)  # noqa: NPY002 - the program draws from the global state
    with (
        watched_optimiser(record, nets, weights),
        watched_permutation(record),
        watched_augmentation(program, record) as draws,
        command_line(**words),
    ):
        program.main()
    channels_last = lambda x: x.permute(0, 2, 3, 1).numpy()
    arrays = {
        "images": np.stack([channels_last(x) for x in record["image"]]),
        "gradients": np.stack([channels_last(x) for x in record["slope"]]),
        "loss": np.array(record["loss"]),
        "rows": matching_rows(record["rows"], norm),
    }
    if siamese:
        arrays |= {name: np.array(value) for name, value in draws.items()}
    return arrays | {name: np.stack([w[name] for w in weights]) for name in weights[0]}


def new_network(nets: list[torch.nn.Module], norm: str) -> torch.nn.Module:
    import networks

    torch.manual_seed(len(nets))
    size = (SIDE, SIDE)
    net = networks.ConvNet(CHANNELS, CLASSES, 4, 2, "relu", norm, "avgpooling", size)
    nets.append(net)
    return net


@contextlib.contextmanager
def watched_optimiser(
    record: dict[str, list],
    nets: list[torch.nn.Module],
    weights: list[dict[str, np.ndarray]],
) -> Iterator[None]:
    """Records images before the first and after each step, losses, slopes, weights."""
    original, backward, last = torch.optim.SGD, torch.Tensor.backward, []

    class Recorder(original):
        def __init__(self, params: Any, **options: Any) -> None:
            params = list(params)
            self.images = len(params) == 1
            if self.images:
                record["image"].append(params[0].detach().clone())
            super().__init__(params, **options)

        def step(self, closure: Any = None) -> None:
            if not self.images:
                super().step(closure)
                return
            (image,) = self.param_groups[0]["params"]
            record["slope"].append(image.grad.clone())
            record["loss"].append(last[-1])
            weights.append(exported(nets[-1]))
            super().step(closure)
            record["image"].append(image.detach().clone())

    def noted(loss: torch.Tensor, *args: Any, **options: Any) -> None:
        last.append(loss.item())
        backward(loss, *args, **options)

    torch.optim.SGD, torch.Tensor.backward = Recorder, noted
    try:
        yield
    finally:
        torch.optim.SGD, torch.Tensor.backward = original, backward


@contextlib.contextmanager
def watched_permutation(record: dict[str, list]) -> Iterator[None]:
    original = np.random.permutation

    def permuted(rows: list[int]) -> np.ndarray:
        record["rows"].append(original(rows))
        return record["rows"][-1]

    np.random.permutation = permuted
    try:
        yield
    finally:
        np.random.permutation = original


def matching_rows(draws: list[np.ndarray], norm: str) -> np.ndarray:
    """The real rows of each matching and class, from all draws of the program."""
    if norm == "batchnorm":  # a draw of every class for the statistics comes first
        blocks = range(0, len(draws), 2 * CLASSES)
        draws = [d for at in blocks for d in draws[at + CLASSES : at + 2 * CLASSES]]
    return np.stack(draws).reshape(MATCHINGS, CLASSES, BATCH)


@contextlib.contextmanager
def watched_augmentation(
    program: types.ModuleType, record: dict[str, list]
) -> Iterator[dict[str, list[np.ndarray]]]:
    """Records the colour draws: of each class and matching, and of the training batch.

    The program seeds the former by milliseconds of the clock; here a counter. The
    latter are drawn for each image of a shuffled batch, and are put back in the order
    of the set.
    """
    import utils

    draws: dict[str, list] = {"draws": [], "training_draws": []}
    original, clock = utils.DiffAugment, program.time
    count = iter(range(1, 10_000))

    def augment(image: torch.Tensor, *args: Any, **options: Any) -> torch.Tensor:
        with watched_uniform() as numbers:
            result = original(image, *args, **options)
        values = np.stack([n.numpy().ravel() for n in numbers], -1)
        draws["draws"].append(values[0])
        return result

    def augment_training(image: torch.Tensor, *args: Any, **options: Any) -> Any:
        with watched_uniform() as numbers:
            result = original(image, *args, **options)
        values = np.stack([n.numpy().ravel() for n in numbers], -1)
        flat = [x.detach().flatten(1) for x in (record["image"][-1], image)]
        draws["training_draws"].append(values[places(*flat)])
        return result

    program.DiffAugment, utils.DiffAugment = augment, augment_training
    program.time = types.SimpleNamespace(time=lambda: (next(count) + 0.5) / 1000)
    try:
        yield draws
    finally:
        program.DiffAugment, utils.DiffAugment = original, original
        program.time = clock
    pairs = draws["draws"]
    # Real images, then synthetic ones, from one seed: what they drew must agree.
    for real, synthetic in zip(pairs[::2], pairs[1::2], strict=True):
        np.testing.assert_array_equal(real, synthetic)
    draws["draws"] = list(np.array(pairs[::2]).reshape(-1, CLASSES, 3)) if pairs else []


def places(rows: torch.Tensor, among: torch.Tensor) -> list[int]:
    """Where each row stands in another tensor."""
    return [int(torch.where((among == row).all(-1))[0]) for row in rows]


@contextlib.contextmanager
def watched_uniform() -> Iterator[list[torch.Tensor]]:
    """Lists what `torch.rand` returns."""
    original, numbers = torch.rand, []

    def rand(*args: Any, **options: Any) -> torch.Tensor:
        numbers.append(original(*args, **options))
        return numbers[-1]

    torch.rand = rand
    try:
        yield numbers
    finally:
        torch.rand = original


def command_line(**options: str) -> contextlib.AbstractContextManager[None]:
    """The arguments of a run of one iteration."""
    common = {"ipc": IPC, "num_exp": 1, "Iteration": 0, "batch_real": BATCH}
    return dm_torch.command_line(**common, **options)


def exported(net: torch.nn.Module) -> dict[str, np.ndarray]:
    """Weights and statistics by role and block; the head takes maps channels last."""
    arrays = dm_torch.exported(net)
    block = -1
    for layer in net.features:
        if isinstance(layer, torch.nn.BatchNorm2d):
            block += 1
            arrays[f"norm{block}/mean"] = layer.running_mean.numpy().copy()
            arrays[f"norm{block}/var"] = layer.running_var.numpy().copy()
    weight = net.classifier.weight.detach()
    channels = 4
    side = int((weight.shape[1] // channels) ** 0.5)
    kernel = weight.reshape(-1, channels, side, side).permute(2, 3, 1, 0)
    arrays["head/kernel"] = kernel.reshape(-1, weight.shape[0]).numpy().copy()
    arrays["head/bias"] = net.classifier.bias.detach().numpy().copy()
    return arrays


if __name__ == "__main__":
    main()
