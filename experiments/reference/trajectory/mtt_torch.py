"""Runs the authors' own program (MTT, distill.py) on request and times its steps.

The program is GeorgeCazenavette/mtt-distillation (MIT), given as a checkout; nothing of
it is copied here. Its `main` runs unchanged, on noise and experts drawn here and read
from a buffer file of its own format; packages it imports but does not need for a step
are replaced by empty stand-ins. It reports to wandb at the beginning and at the end of
each iteration, and the stand-in for wandb waits there for the next request. No
evaluation, and no augmentation unless asked for. A first iteration of one inner step
warms the process up and is not counted.

For each number on standard input, makes so many outer steps and answers with the
seconds of each and the growth of the resident memory as JSON; used by
experiments/benches/trajectory.py:
  python experiments/reference/trajectory/mtt_torch.py --checkout DIR --width 32 \
      --batch 20
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
import types
from pathlib import Path
from typing import Any

import torch

SHAPE, CLASSES = (3, 32, 32), 10
MODELS = {32: "ConvNetW32", 64: "ConvNetW64", 128: "ConvNet", 256: "ConvNetW256"}


def main() -> None:
    """Runs the program until an empty line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--checkout", type=Path, required=True)
    parser.add_argument("--width", type=int, default=128, choices=sorted(MODELS))
    parser.add_argument("--batch", type=int, default=100, help="images, all a step")
    parser.add_argument("--steps", type=int, default=30, help="inner steps")
    parser.add_argument("--dsa", action="store_true")
    parser.add_argument("--threads", type=int, default=0, help="0 = as PyTorch chooses")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    checkout = options.checkout.resolve()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # it writes its logs where it stands
        answers, log = sys.stdout, open(os.devnull, "w")  # noqa: SIM115
        length = Length(options.steps)
        program = load_program(checkout, Driver(answers, length))
        write_experts(program, options)
        with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
            program.main(settings(options, length))


class Finished(SystemExit):
    """No more steps are wanted."""


class Length:
    """Inner steps, for `range`: one before the first request, then as many as asked."""

    def __init__(self, steps: int) -> None:
        self._steps, self.warm = steps, False

    def __index__(self) -> int:
        return self._steps if self.warm else 1


class Driver:
    """Stands in for wandb: measures iterations and makes the program wait."""

    def __init__(self, answers: Any, length: Length) -> None:
        self.config = types.SimpleNamespace(_items={})
        self.run = types.SimpleNamespace(name="run")
        self._answers, self._length, self._wanted = answers, length, 0
        self._warming = True
        self._taken: list[dict[str, float]] = []
        self._began: tuple[float, float, float] = (0.0, 0.0, 0.0)
        about = {"torch": torch.__version__, "threads": torch.get_num_threads()}
        self._say(about)

    def init(self, config: Any, **_: Any) -> None:
        """Keeps the settings, which the program reads back."""
        self.config._items = vars(config)

    def log(self, values: dict[str, Any], **_: Any) -> None:
        """An iteration begins with "Progress" and ends with "Grand_Loss"."""
        if "Progress" in values:
            if not self._warming:
                self._length.warm = True
                self._wait()
            reset_peak()
            self._began = time.perf_counter(), time.process_time(), resident("VmRSS")
        elif "Grand_Loss" in values and self._warming:
            self._warming = False
        elif "Grand_Loss" in values:
            wall, cpu, before = self._began
            self._taken.append(
                {
                    "wall": time.perf_counter() - wall,
                    "cpu": time.process_time() - cpu,
                    "growth": resident("VmHWM") - before,
                    "loss": float(values["Grand_Loss"]),
                }
            )

    def Image(self, *_: Any) -> None:
        """Of no use here."""

    def Histogram(self, *_: Any) -> None:
        """Of no use here."""

    def _wait(self) -> None:
        """Answers once enough steps were made, and reads how many come next."""
        if len(self._taken) < self._wanted:
            return
        if self._wanted:
            self._say(self._taken)
        line = sys.stdin.readline()
        if not line.strip():
            raise Finished
        self._wanted, self._taken = int(line), []

    def _say(self, what: Any) -> None:
        print(json.dumps(what), file=self._answers, flush=True)


def load_program(checkout: Path, driver: Driver) -> types.ModuleType:
    """The authors' distill.py as a module, with stand-ins for what it does not need."""

    stand_ins: dict[str, dict[str, Any]] = {
        "torchvision": {"datasets": None, "transforms": None},
        "torchvision.utils": {"make_grid": lambda *args, **options: torch.zeros(1)},
        "kornia": {},
        "scipy": {},
        "scipy.ndimage": {},
        "scipy.ndimage.interpolation": {"rotate": None},
    }
    for name, attributes in stand_ins.items():
        module = types.ModuleType(name)
        vars(module).update(attributes)
        sys.modules[name] = module
    sys.modules["torchvision"].utils = sys.modules["torchvision.utils"]  # type: ignore
    sys.modules["wandb"] = driver  # type: ignore[assignment]
    sys.path.insert(0, str(checkout))
    import distill

    distill.get_dataset = noise_set
    distill.get_eval_pool = lambda *args: []
    torch.Tensor.cuda = lambda self: self  # it saves its images by way of the GPU
    return distill


def noise_set(*args: Any, **options: Any) -> tuple:
    """What the program expects of a data set: two noise images of each class."""
    generator = torch.Generator().manual_seed(0)
    count = 2 * CLASSES
    image = torch.randn(count, *SHAPE, generator=generator)
    rows = [(image[i], i % CLASSES) for i in range(count)]
    names = list(map(str, range(CLASSES)))
    classes = {c: c for c in range(CLASSES)}
    nothing: list = []
    side = SHAPE[1:]
    data = (rows, nothing, nothing, nothing)
    return (SHAPE[0], side, CLASSES, names, 0.0, 1.0, *data, classes, classes)


def write_experts(program: types.ModuleType, options: argparse.Namespace) -> None:
    """One buffer of two trajectories: random weights, then small steps."""
    folder = Path("buffers", "CIFAR10_NO_ZCA", MODELS[options.width])
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    trajectories = []
    for _ in range(2):
        net = program.get_network(MODELS[options.width], SHAPE[0], CLASSES, SHAPE[1:])
        first = [p.detach().clone() for p in net.parameters()]
        moved = [p + 0.01 * torch.randn_like(p) for p in first]
        trajectories.append([first, moved])
    torch.save(trajectories, folder / "replay_buffer_0.pt")


def settings(options: argparse.Namespace, length: Length) -> argparse.Namespace:
    """Its command line: one epoch of an expert, all images at every step."""
    return argparse.Namespace(
        dataset="CIFAR10", subset="", model=MODELS[options.width], res=32,
        ipc=options.batch // CLASSES, eval_mode="S", num_eval=1, eval_it=10**9,
        epoch_eval_train=1, Iteration=10**9, lr_img=1.0, lr_lr=1e-7, lr_teacher=0.01,
        lr_init=0.01, batch_real=256, batch_syn=options.batch, batch_train=256,
        pix_init="noise", dsa=str(options.dsa),
        dsa_strategy="color_crop_cutout_flip_scale_rotate", data_path="",
        buffer_path="buffers", expert_epochs=1, syn_steps=length,
        max_start_epoch=1, zca=False, load_all=False, no_aug=not options.dsa,
        texture=False, canvas_size=2, canvas_samples=1, max_files=1, max_experts=None,
        force_save=False,
    )  # fmt: skip


def reset_peak() -> None:
    """Forgets the largest resident memory there has been (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def resident(field: str) -> float:
    """MB of resident memory: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(field))
    return int(line.split()[1]) * 1024 / 1e6


if __name__ == "__main__":
    main()
