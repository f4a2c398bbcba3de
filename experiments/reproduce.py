"""Re-creates the figures that README and docs quote.

python experiments/reproduce.py                     # all of them, many hours
python experiments/reproduce.py krr_ssl_mnist dm_mnist_ipc1
python experiments/reproduce.py --check             # runs nothing

Each entry is one command line of experiments/run.py; its report goes to
experiments/results/<name>.json. MNIST, CIFAR-10 and Tiny-ImageNet are looked for in the
folder JAXDD_DATA. --check resolves the settings of the entries and compares them with
experiments/results/settings/<name>.json, which format 1 wrote: names may have changed
as `jaxdd.format1` says, and nothing else.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def _random(data: str, ipc: int, seeds: int) -> str:
    return (
        f"--method random --data.name {data} --protocol vico --ipc {ipc}"
        f" --seeds {seeds}"
    )


def _through_training(data: str, students: int) -> dict[str, str]:
    """One set of each method that differentiates through training, several students."""
    given = f"--preset {data} --students {students}"
    return {f"{name}_{data}": f"--method {name} {given}" for name in _TRAINED}


_TRAINED = ("dc", "dsa", "dd", "bptt", "rtp", "rat_bptt")
_TRAINED += ("mtt", "tesla", "ftd", "datm", "ast")
_MTT_CIFAR10 = "--method mtt --preset cifar10_cpu --seeds 3 --run.devices 0"
_DM_CIFAR10 = "--method dm --preset cifar10_cpu --ipc 1 --seeds 3"

RUNS = {
    "krr_ssl_digits": "--method krr_ssl --seeds 5",
    "krr_ssl_mnist": "--method krr_ssl --preset mnist --seeds 5",
    "krr_ssl_mnist_200": (
        "--method krr_ssl --preset mnist --seeds 5 --evaluate.train.steps 200"
        " --evaluate.name mnist_ssl_200"
    ),
    "krr_ssl_mnist_crop2": (
        "--method krr_ssl --preset mnist --seeds 5 --distill.views.crop 2"
    ),
    "krr_ssl_cifar10": "--method krr_ssl --preset cifar10_cpu --seeds 3",
    "krr_ssl_tinyimagenet_transfer": (
        "--method krr_ssl --preset tinyimagenet_transfer_cpu --seeds 3"
    ),
    "krr_ssl_mnist_transfer": (
        "--method krr_ssl --preset mnist_transfer_cpu --seeds 3"
    ),
    "dm_digits": "--method dm --ipc 1 --seeds 5",
    "dm_mnist_ipc1": "--method dm --preset mnist --ipc 1 --seeds 5",
    "dm_mnist_ipc10": (
        "--method dm --preset mnist --ipc 10 --seeds 5"
        " --distill.optimiser.learning-rate 10"
    ),
    # Every student on a random subset of its own: the anchor of the field's tables.
    "random_cifar10_ipc1": _random("cifar10", 1, 10),
    "random_cifar10_ipc10": _random("cifar10", 10, 4),
    "random_cifar10_ipc50": _random("cifar10", 50, 2),
    "random_mnist_ipc1": _random("mnist", 1, 4),
    "random_mnist_ipc10": _random("mnist", 10, 2),
    "random_mnist_ipc50": _random("mnist", 50, 1),
    "dm_cifar10_architectures": (
        "--method dm --preset cifar10_cpu --seeds 3 --data.test-limit 2000"
        " --networks mlp lenet vgg11:1 resnet18:1 alexnet vit:1"
    ),
    **_through_training("digits", 10),
    "bptt_digits_60": "--method bptt --preset digits_short --students 10",
    "rat_bptt_digits_end": (
        "--method rat_bptt --preset digits --students 10 --distill.policy end"
    ),
    **_through_training("mnist", 3),
    "mtt_cifar10": _MTT_CIFAR10,
    "mtt_cifar10_separable": f"{_MTT_CIFAR10} --distill.adjoint.name separable",
    # FYI over two hosts.
    "mtt_cifar10_flip": f"{_MTT_CIFAR10} --distill.flip",
    "dm_cifar10_ipc1": _DM_CIFAR10,
    "dm_cifar10_ipc1_flip": f"{_DM_CIFAR10} --distill.flip",
    **{
        f"{name}_mnist": f"--method {name} --preset mnist --seeds 5"
        for name in ("frepo", "rcig", "rfad", "kip", "label_solve")
    },
    "frepo_mnist28": "--method frepo --preset mnist28 --students 5",
    "kip_cifar10_fc": "--method kip --preset cifar10_fc --seeds 3",
}
HELD_OUT = (
    *("krr_ssl_digits", "krr_ssl_mnist"),
    *("krr_ssl_mnist_200", "krr_ssl_mnist_crop2"),
)
KEPT = ("dataset", "set", "rows", "notes", "teacher", "loss", "seconds", "storage")
ORIGIN = ("versions", "hardware", "commit", "command")
SHOWN = 20  # differences of an entry


def reproduce(name: str) -> None:
    """Runs one entry, or goes on with it, and writes its result."""
    folder = ROOT / "runs" / f"results-{name}"
    options = _options(name)
    print(f"\n== {name}: python experiments/run.py {' '.join(options)}", flush=True)
    command = [sys.executable, "experiments/run.py", *options]
    subprocess.run(command, cwd=ROOT, check=True)
    report = json.loads((folder / "report.json").read_text())
    result = {field: report[field] for field in (*KEPT, *ORIGIN)}
    if name in HELD_OUT:
        result["held_out_krr_loss"] = _held_out(folder)
    path = HERE / "results" / f"{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"wrote {path.relative_to(ROOT)}")


def _held_out(folder: Path) -> dict:
    done = subprocess.run(
        [sys.executable, "experiments/held_out.py", "--workdir", str(folder)],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _options(name: str) -> list[str]:
    folder = Path("runs") / f"results-{name}"
    return [*RUNS[name].split(), "--workdir", str(folder)]


def changed(name: str) -> list[str]:
    """How the settings of an entry differ from those its figures were made with.

    Args:
      name: of the entry.

    Returns:
      A line for each setting: its name, its value then, and now.
    """
    from jaxdd import format1
    from jaxdd.errors import InputError
    from jaxdd.records import to_dict
    from jaxdd.run import cli, config

    now = cli.parse(_options(name))
    assert isinstance(now, config.RunConfig)
    before = json.loads((HERE / "results" / "settings" / f"{name}.json").read_text())
    del before["command"]
    try:
        distill = format1.upgrade(type(now.distill), before.pop("distill"))
        before = format1.upgrade(config.RunConfig, before) | {"distill": distill}
    except (KeyError, InputError) as error:
        return [f"a setting has no place today: {error}"]
    return _differences(before, json.loads(json.dumps(to_dict(now))))


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return [] if before == now else [f"{name}: {before!r} then, {now!r} now"]
    lines = []
    for key in sorted(before.keys() | now.keys()):
        pair = before.get(key, "(absent)"), now.get(key, "(absent)")
        lines += _differences(*pair, f"{name}.{key}" if name else key)
    return lines


def check(names: list[str]) -> int:
    """Tells how settings have changed; the number of entries where they have."""
    found = {name: changed(name) for name in names}
    for name, lines in found.items():
        for line in lines[:SHOWN]:
            print(f"{name}: {line}")
        if len(lines) > SHOWN:
            print(f"{name}: and {len(lines) - SHOWN} more")
    count = sum(map(bool, found.values()))
    print(f"{len(names) - count} of {len(names)} entries resolve to their settings")
    return count


def main() -> int:
    """Runs the entries named on the command line, or all; or checks their settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=", ".join(RUNS))
    parser.add_argument("--check", action="store_true", help="compare settings only")
    arguments = parser.parse_args()
    names = arguments.names or list(RUNS)
    if unknown := sorted(set(names) - set(RUNS)):
        parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(RUNS)}")
    if arguments.check:
        return 1 if check(names) else 0
    for name in names:
        reproduce(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
