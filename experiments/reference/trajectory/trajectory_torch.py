"""Steps of MTT, TESLA, FTD and DATM by their authors' programs, in float64.

Whole runs of a few outer iterations on a tiny problem, each program's own `main`, with
stand-ins for what it does not need here: trackers, data sets, evaluation. The set is
split into unequal batches, there is no augmentation, and experts are random walks.

  python experiments/reference/trajectory/trajectory_torch.py --checkouts DIR \
    tests/methods/trajectory/golden/trajectory.npz

DIR holds checkouts by repository name: mtt-distillation (GeorgeCazenavette, 50dccea,
MIT), tesla (justincui03, 488842e, MIT), FTD-distillation (AngusDujw, 711532a) and DATM
(NUS-HPC-AI-Lab, 97ae510); nothing of them is copied here.
"""

import argparse
import contextlib
import importlib.machinery
import importlib.util
import os
import random
import sys
import tempfile
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "training"))
from students_torch import CHANNELS, CLASSES, DEPTH, SIDE, WIDTH
from students_torch import exported as named_arrays

IPC, BATCH, STEPS, EXPERTS, EPOCHS = 2, 4, 3, 2, 4
REAL = 8  # real images of each class
THINNED = 2  # of what images follow, every so many rows and columns are written
PROGRAMS = {
    "mtt": ("mtt-distillation/distill.py", {"Iteration": 0}),
    "tesla": ("tesla/distill.py", {"Iteration": 0, "teacher_label": False}),
    "ftd": ("FTD-distillation/distill/distill_FTD.py", {"Iteration": 1}),
    "datm": (
        "DATM/distill/DATM.py",
        {"Iteration": 2, "pix_init": "samples_predicted_correctly"},
    ),
}
COMMON: dict[str, Any] = {
    "dataset": "toy",
    "data_path": "",
    "subset": "",
    "model": "ConvNet",
    "ipc": IPC,
    "eval_mode": "S",
    "num_eval": 1,
    "eval_it": 1000,
    "lr_img": 20.0,
    "batch_real": 4,
    "batch_syn": BATCH,
    "pix_init": "real",
    "dsa": "False",
    "no_aug": True,
    "zca": False,
    "zca_trans": None,
    "texture": False,
    "canvas_size": 1,
    "load_all": False,
    "max_experts": None,
    "max_files": None,
    "random_trajectory": False,
    "syn_steps": STEPS,
    "expert_epochs": 2,
    "max_start_epoch": 2,
    "lr_lr": 1e-3,
    "lr_teacher": 0.1,
    "force_save": False,
    "ema_decay": 0.9,
    "project": "",
    "dc_aug_param": None,
    # DATM
    "device": [0],
    "skip_first_eva": True,
    "parall_eva": True,
    "Label_Model_Timestamp": -1,
    "lr_y": 2.0,
    "Momentum_y": 0.9,
    "threshold": 0.0,  # replaced: see `main`
    "Sequential_Generation": True,
    "current_max_start_epoch": 1,
    "min_start_epoch": 0,
    "expansion_end_epoch": 1,
}


def main() -> None:
    """Runs every program and writes what it did."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkouts", type=Path, required=True)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    in_float64()
    experts, image, label = problem(options.checkouts / "mtt-distillation")
    arrays: dict[str, np.ndarray] = {"origin": np.array(__doc__)}
    for name, value in exported_experts(experts).items():
        arrays[f"experts/{name}"] = value
    for name, (path, changes) in PROGRAMS.items():
        given = options.checkouts / path, experts, image, label
        settings = COMMON | changes | {"threshold": np.inf}
        record = watched(*given, settings)
        if name == "datm":  # a threshold that holds back the second step
            settings["threshold"] = float(record[1]["loss"]) * 0.999
            record = watched(*given, settings)
        arrays |= {f"{name}/{what}": v for what, v in collected(record).items()}
    np.savez_compressed(options.out, **arrays)


def in_float64() -> None:
    """The programs ask for single precision by name."""
    torch.set_default_dtype(torch.float64)
    torch.float = torch.float64  # type: ignore[misc]
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    torch.Tensor.cuda = lambda self, *_: self  # type: ignore[method-assign]


# The problem -------------------------------------------------------------------------


def problem(checkout: Path) -> tuple[list, torch.Tensor, np.ndarray]:
    """Trajectories [expert][epoch][tensor], real images, and their classes.

    Classes are the first expert's predictions, so that it is right everywhere and the
    second one here and there.
    """
    networks = load(checkout / "networks.py", "networks")
    generator = torch.Generator().manual_seed(5)
    torch.manual_seed(5)
    experts = []
    for _ in range(EXPERTS):
        net = convnet(networks)
        now = [p.detach().clone() for p in net.parameters()]
        walk = [now]
        for _ in range(EPOCHS):
            now = [p + 0.02 * torch.randn(p.shape, generator=generator) for p in now]
            walk.append(now)
        experts.append(walk)
    net = filled(networks, experts[0][-1])
    kept: dict[int, list[torch.Tensor]] = {c: [] for c in range(CLASSES)}
    while min(map(len, kept.values())) < REAL:
        one = 2 * torch.randn((1, CHANNELS, SIDE, SIDE), generator=generator)
        kept[int(net(one).argmax())].append(one)
    image = torch.cat([one for c in kept for one in kept[c][:REAL]])
    return experts, image.detach(), np.repeat(np.arange(CLASSES), REAL)


def convnet(networks: types.ModuleType) -> torch.nn.Module:
    layers = ("relu", "instancenorm", "avgpooling")
    return networks.ConvNet(CHANNELS, CLASSES, WIDTH, DEPTH, *layers, (SIDE, SIDE))


def filled(networks: types.ModuleType, tensors: list) -> torch.nn.Module:
    net = convnet(networks)
    with torch.no_grad():
        for parameter, value in zip(net.parameters(), tensors, strict=True):
            parameter.copy_(value)
    return net


def exported_experts(experts: list) -> dict[str, np.ndarray]:
    """Parameters [expert,epoch,...] by our names."""
    networks = sys.modules["networks"]
    each = [[named_arrays(filled(networks, s)) for s in walk] for walk in experts]
    return {
        name: np.stack([[snapshot[name] for snapshot in walk] for walk in each])
        for name in each[0][0]
    }


# The programs ------------------------------------------------------------------------


def load(path: Path, name: str) -> types.ModuleType:
    """A file as a module of that name."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def stand_in(name: str, **attributes: Any) -> None:
    module = types.ModuleType(name)
    module.__spec__ = importlib.machinery.ModuleSpec(name, None)
    vars(module).update(attributes)
    sys.modules[name] = module


def watched(
    path: Path,
    experts: list,
    image: torch.Tensor,
    label: np.ndarray,
    settings: dict[str, Any],
) -> list[dict[str, Any]]:
    """What a program learns, and from what, after each of its iterations."""
    record: list[dict[str, Any]] = []
    learned: dict[str, torch.Tensor] = {}
    orders: list[torch.Tensor] = []
    first: dict[str, np.ndarray] = {}
    names = {4: "image", 0: "rate", 2: "label"}

    class Recorder(torch.optim.SGD):
        def __init__(self, params: list, **options: Any) -> None:
            learned[names[params[0].dim()]] = params[0]
            first[names[params[0].dim()]] = values(params[0])
            super().__init__(params, **options)

    def log(entry: dict[str, Any], **_: Any) -> None:
        if "Grand_Loss" not in entry:
            return
        now = {"loss": float(entry["Grand_Loss"]), "epoch": entry["Start_Epoch"]}
        now["orders"] = np.stack([order.numpy() for order in orders])
        orders.clear()
        for name, tensor in learned.items():
            now[f"{name}_gradient"] = values(tensor.grad)
            now[name] = values(tensor)
            now[f"{name}_first"] = first[name]
        if averages:
            now["average"] = values(averages[0].module[0])
        record.append(now)

    averages: list[Any] = []
    with surroundings(path, settings, experts, image, label, log) as module:
        drawn, optimiser = torch.randperm, torch.optim.SGD
        ema = getattr(module, "ModelEmaV2", None)
        if ema is not None:
            module.ModelEmaV2 = lambda *a, **k: remembered(averages, ema(*a, **k))
        torch.randperm = lambda *a, **k: remembered(orders, drawn(*a, **k))
        torch.optim.SGD = Recorder  # type: ignore[misc]
        try:
            module.main(types.SimpleNamespace(**settings))
        finally:
            torch.randperm, torch.optim.SGD = drawn, optimiser  # type: ignore[misc]
    return record


def values(tensor: torch.Tensor) -> np.ndarray:
    """Images channels last, everything else as it is."""
    tensor = tensor.detach().clone()
    return (tensor.permute(0, 2, 3, 1) if tensor.dim() == 4 else tensor).numpy()


def remembered(kept: list, value: Any) -> Any:
    kept.append(value)
    return value


@contextlib.contextmanager
def surroundings(
    path: Path,
    settings: dict[str, Any],
    experts: list,
    image: torch.Tensor,
    label: np.ndarray,
    log: Callable,
) -> Any:
    """The program as a module, in a folder of its own with the experts in it."""
    checkout = path.parent.parent if path.parent.name == "distill" else path.parent
    networks = load(checkout / "networks.py", "networks")
    load(checkout / "reparam_module.py", "reparam_module")
    data = [(one, int(c)) for one, c in zip(image, label, strict=True)]
    classes = {c: c for c in range(CLASSES)}
    shape = (CHANNELS, (SIDE, SIDE), CLASSES, [], [], [])
    tools = {
        "get_dataset": lambda *a, **k: (*shape, data, data, None, {}, classes, classes),
        "get_network": lambda *a, **k: convnet(networks),
        "get_eval_pool": lambda *a: ["ConvNet"],
        "evaluate_synset": lambda *a, **k: (None, 0.0, 0.0),
        "get_time": str,
        "ParamDiffAug": types.SimpleNamespace,
    }
    unused = dict.fromkeys(("augment", "DiffAugment", "DiffAugmentList"))
    stand_in("utils", **tools, **unused)
    stand_in("utils.utils_baseline", **tools, **unused)
    another = types.SimpleNamespace(Initialize_Label_With_Another_Model=False)
    stand_in("utils.cfg", CFG=another)
    stand_in("yaml")
    stand_in("tqdm", tqdm=lambda entries: entries)
    stand_in("PIL", PngImagePlugin=types.SimpleNamespace())
    pictures = {"Image": lambda *a: None, "Histogram": lambda *a: None}
    config = types.SimpleNamespace(_items=dict(settings))
    stand_in(
        "wandb",
        **pictures,
        init=lambda **k: config._items.update(vars(k["config"])),
        config=config,
        log=log,
        finish=lambda: None,
        run=types.SimpleNamespace(name="run"),
    )
    grid = types.SimpleNamespace(make_grid=lambda x, **k: x)
    stand_in("torchvision", utils=grid)
    stand_in("torchvision.utils", make_grid=grid.make_grid)
    for folder in (checkout, path.parent):
        sys.path.insert(0, str(folder))
    shuffle, here = random.shuffle, Path.cwd()
    kept = torch.load, torch.save
    random.shuffle = lambda entries: None  # so that it is known who comes next
    torch.load, torch.save = (lambda *a, **k: experts), (lambda *a, **k: None)
    np.random.seed(1)  # noqa: NPY002 the programs draw from it
    torch.manual_seed(3)
    try:
        with tempfile.TemporaryDirectory() as folder:
            buffer = Path(folder) / "experts" / "toy" / "ConvNet"
            buffer.mkdir(parents=True)
            (buffer / "replay_buffer_0.pt").touch()
            settings["buffer_path"] = str(buffer.parent.parent)
            os.chdir(folder)
            with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
                yield load(path, f"program_{path.parent.name}_{path.stem}")
            os.chdir(here)
    finally:
        random.shuffle = shuffle
        torch.load, torch.save = kept
        os.chdir(here)
        for folder in (checkout, path.parent):
            sys.path.remove(str(folder))
        sys.modules.pop("model_ema", None)


def collected(record: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """The record as arrays with a leading axis of iterations."""
    arrays = {}
    for name in record[0]:
        stacked = np.stack([np.asarray(one[name]) for one in record])
        if name.endswith("_first"):
            arrays[name] = stacked[0]
        elif stacked.ndim == 5:
            arrays[name] = stacked[:, :, ::THINNED, ::THINNED]
        else:
            arrays[name] = stacked
    return arrays


if __name__ == "__main__":
    main()
