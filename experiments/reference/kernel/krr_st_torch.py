"""Runs the authors' KRR-ST program, for golden values and for comparison of speed.

Their code is imported from a checkout of github.com/db-Lee/selfsup_dd (Apache-2.0) and
is no part of this project; torchvision, which it imports but does not need here, is
replaced by an empty module. Needs PyTorch, NumPy and tqdm, nothing else.

  golden: two outer steps in float64 on a tiny problem, to an .npz that tests read
    python experiments/reference/kernel/krr_st_torch.py --checkout DIR golden OUT.npz
  timing: waits for a number on standard input, makes that many outer steps on the given
    arrays, answers with their seconds as JSON; used by experiments/benches/krr_ssl.py
    python experiments/reference/kernel/krr_st_torch.py --checkout DIR timing ARRAYS.npz

All arrays are in this project's layout: images NHWC, kernels HWIO, dense kernels
[height*width*channel, outputs].
"""

import argparse
import json
import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

ROWS, REAL, OUTPUTS, SIDE, WIDTHS = 6, 5, 4, 8, (3, 4)
LEARNING_RATE, OUTER_STEPS = 1e-2, 10


def main() -> None:
    """Parses the command line and runs one of the two modes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkout", type=Path, required=True)
    modes = parser.add_subparsers(dest="mode", required=True)
    golden = modes.add_parser("golden")
    golden.add_argument("out", type=Path)
    timing = modes.add_parser("timing")
    timing.add_argument("arrays", type=Path, help="x_s, y_s, x_b, y_b")
    timing.add_argument("--pool", type=int, default=10)
    timing.add_argument("--widths", default="128_256_512")
    timing.add_argument("--teacher", choices=["loop", "cached"], default="loop")
    options = parser.parse_args()
    import_from(options.checkout)
    if options.mode == "golden":
        np.savez(options.out, **golden_arrays())
    else:
        serve(options)


def import_from(checkout: Path) -> None:
    """Makes the authors' modules importable, with an empty torchvision."""
    vision = types.ModuleType("torchvision")
    models = types.ModuleType("torchvision.models")
    for name in ("resnet18", "resnet34", "resnet50"):
        setattr(models, name, None)
    sys.modules.update({"torchvision": vision, "torchvision.models": models})
    sys.path.insert(0, str(checkout))


def settings(model: str, side: int, outputs: int, pool: int) -> types.SimpleNamespace:
    """The command-line arguments their functions read, with their defaults."""
    return types.SimpleNamespace(
        num_models=pool,
        online_opt="sgd",
        online_iteration=1000,
        online_lr=0.1,
        online_wd=1e-3,
        outer_grad_norm=0.0,
        train_model=model,
        img_shape=(3, side, side),
        num_pretrain_classes=outputs,
    )


class Fixed(nn.Module):
    """Stands for the teacher where its outputs are given."""

    def __init__(self, output: torch.Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """The given outputs, whatever the image."""
        del image
        return self.output


class Program:
    """Their outer step on given arrays: no augmentation, no ageing of the pool."""

    def __init__(
        self, args: Any, teacher: nn.Module, arrays: dict[str, np.ndarray], rate: float
    ) -> None:
        from algorithms import distill
        from model_pool import ModelPool

        self.args, self.teacher, self._run = args, teacher, distill.run
        self.x_s = torch.tensor(nchw(arrays["x_s"]), requires_grad=True)
        self.y_s = torch.tensor(arrays["y_s"], requires_grad=True)
        self.x_b = torch.tensor(nchw(arrays["x_b"]))
        self.optimiser = torch.optim.AdamW(
            [self.x_s, self.y_s], lr=rate, weight_decay=0.0
        )
        self.schedule = torch.optim.lr_scheduler.LinearLR(
            self.optimiser, 1.0, 1e-3, total_iters=OUTER_STEPS
        )
        self.pool = ModelPool(args, torch.device("cpu"))

    def step(self) -> float:
        """One outer iteration; returns the loss before it."""
        real = iter([(self.x_b, None)])
        loss = self._run(
            self.args,
            torch.device("cpu"),
            self.teacher,
            self.pool,
            self.optimiser,
            real,
            lambda image: image,
            self.x_s,
            self.y_s,
        )
        self.schedule.step()
        return float(loss.detach())


def golden_arrays() -> dict[str, np.ndarray]:
    """Two outer steps of a tiny problem in float64."""
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 (their pool draws from it)
    rng = np.random.default_rng(0)
    arrays = {
        "x_s": rng.standard_normal((ROWS, SIDE, SIDE, 3)),
        "y_s": rng.standard_normal((ROWS, OUTPUTS)),
        "x_b": rng.standard_normal((REAL, SIDE, SIDE, 3)),
        "y_b": rng.standard_normal((REAL, OUTPUTS)),
    }
    name = "_".join(["convnet", *map(str, WIDTHS), "bn"])
    args = settings(name, SIDE, OUTPUTS, pool=1)
    program = Program(args, Fixed(torch.tensor(arrays["y_b"])), arrays, LEARNING_RATE)
    model = program.pool.models[0]
    shake_norms(model)
    out = {f"start/{k}": v for k, v in arrays.items()} | network("start", model)
    for number in (1, 2):
        prefix = f"step{number}"
        out[f"{prefix}/loss"] = np.asarray(program.step())
        for short, tensor in (("x_s", program.x_s), ("y_s", program.y_s)):
            value, gradient = tensor.detach(), tensor.grad
            turn = nhwc if short == "x_s" else np.array
            out[f"{prefix}/{short}"] = turn(value.numpy())
            out[f"{prefix}/gradient_{short}"] = turn(gradient.numpy())
        out |= network(prefix, model, program.pool.opts[0])
    return out


def shake_norms(model: nn.Module) -> None:
    """Gives norms scales and statistics that differ from their defaults."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5)
                module.bias.uniform_(-0.5, 0.5)
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 1.5)


def network(prefix: str, model: Any, optimiser: Any = None) -> dict[str, np.ndarray]:
    """Parameters, statistics and momenta of their network, in our layout."""
    out = {}

    def keep(name: str, parameter: torch.Tensor, turn: Any) -> None:
        out[f"{prefix}/{name}"] = np.array(turn(parameter.detach().numpy()))
        if optimiser is not None:
            buffer = optimiser.state[parameter]["momentum_buffer"]
            out[f"{prefix}/momentum/{name}"] = np.array(turn(buffer.numpy()))

    same = lambda vector: vector
    for number, layer in enumerate(model.layers):
        conv, norm = layer.block[0], layer.block[1]
        keep(f"block{number}/kernel", conv.weight, lambda w: w.transpose(2, 3, 1, 0))
        keep(f"block{number}/bias", conv.bias, same)
        keep(f"block{number}/scale", norm.weight, same)
        keep(f"block{number}/shift", norm.bias, same)
        out[f"{prefix}/block{number}/mean"] = norm.running_mean.numpy().copy()
        out[f"{prefix}/block{number}/var"] = norm.running_var.numpy().copy()
    cells = SIDE >> len(WIDTHS)

    def dense(weight: np.ndarray) -> np.ndarray:
        maps = weight.reshape(-1, WIDTHS[-1], cells, cells)
        return maps.transpose(2, 3, 1, 0).reshape(-1, OUTPUTS)

    keep("head/kernel", model.fc.weight, dense)
    keep("head/bias", model.fc.bias, same)
    return out


def serve(options: argparse.Namespace) -> None:
    """Makes outer steps on request and answers with the seconds each took."""
    with np.load(options.arrays) as file:
        arrays = {name: file[name].astype(np.float32) for name in file}
    name = f"convnet_{options.widths}_bn"
    args = settings(name, arrays["x_s"].shape[1], arrays["y_s"].shape[1], options.pool)
    program = Program(args, teacher_of(options, arrays), arrays, rate=1e-4)
    about = {"torch": torch.__version__, "threads": torch.get_num_threads()}
    print(json.dumps(about), flush=True)
    while (line := sys.stdin.readline()).strip():
        seconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            program.step()
            seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), flush=True)


def teacher_of(options: argparse.Namespace, arrays: dict[str, np.ndarray]) -> nn.Module:
    """Their ResNet-18 without its last layer, or the given outputs."""
    if options.teacher == "cached":
        return Fixed(torch.tensor(arrays["y_b"]))
    from models.resnet import ResNet18

    model = ResNet18(arrays["y_s"].shape[1])
    model.fc = nn.Identity()
    return model.eval()


def nchw(image: np.ndarray) -> np.ndarray:
    """Images in PyTorch's layout."""
    return np.ascontiguousarray(image.transpose(0, 3, 1, 2))


def nhwc(image: np.ndarray) -> np.ndarray:
    """Images in our layout."""
    return np.ascontiguousarray(image.transpose(0, 2, 3, 1))


if __name__ == "__main__":
    main()
