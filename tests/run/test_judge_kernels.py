"""Sets scored by kernels from the command line: somebody else's, and our own."""

import json
import shutil
from pathlib import Path

import numpy as np

from jaxdd import exchange
from jaxdd.kernels.spelling import parse_kernel
from jaxdd.run import cli
from tests.exchange.cases import EXPECTED, corpus

SAMPLES = Path(__file__).parents[1] / "exchange" / "samples" / "rfad"
DIGITS = SAMPLES / "digits" / "2" / "best.npz"


def test_a_set_of_rfad_is_scored_by_a_kernel_and_by_a_network(
    tmp_path: Path, capsys
) -> None:
    """From the file to the report."""
    place = tmp_path / "judged"
    command = (
        f"--set {DIGITS} --data.name digits --set-whitening standard --smoke"
        f" --protocol rfad --kernels ntk-fc-2 linear --evaluate.regression.ridge 5e-3"
        f" --workdir {place}"
    )
    assert cli.main(command.split()) == 0
    report = json.loads((place / "report.json").read_text())
    rows = {
        (r["set"], r["network"]): r["mean"]
        for r in report["rows"]
        if r["metric"] == "accuracy"
    }
    network = report["rows"][0]["network"]
    assert network.startswith("convnet")
    kernels = ("krr ntk-fc-2", "krr linear")
    assert set(rows) == {
        (s, n) for s in ("rfad", "random") for n in (network, *kernels)
    }
    # Two real digits of each class: far above one in ten, on 100 test images.
    assert all(rows["rfad", kernel] > 0.5 for kernel in kernels)
    assert any("--evaluate.regression.ridge 0.005" in note for note in report["notes"])
    out = capsys.readouterr().out
    assert "kernel ridge regression" in out
    page = (place / "report.html").read_text()
    assert "By kernel ridge regression" in page


def test_figures_of_kernels_are_verified(tmp_path: Path, capsys) -> None:
    place = tmp_path / "run"
    command = f"--method random --ipc 1 --smoke --kernels ntk-fc-1 --workdir {place}"
    only = " --evaluate.train.steps 0 --evaluate.probe.steps 0"
    assert cli.main((command + only).split()) == 0
    rows = json.loads((place / "report.json").read_text())["rows"]
    assert {row["network"] for row in rows} == {"krr ntk-fc-1"}
    assert cli.main(["--verify", str(place)]) == 0
    assert "all figures agree" in capsys.readouterr().out


def test_what_no_kernel_can_use_is_refused_before_anything_runs(capsys) -> None:
    head = "--method random --ipc 1 --smoke"
    for option, message in {
        "--evaluate.regression.ridge 0 --kernels linear": "regression.ridge=0.0",
        "--kernels linear linear": "named twice",
        "--kernels ntk-fc-0": "depth=0: must be at least 1",
    }.items():
        assert cli.main([*head.split(), *option.split()]) == 2
        assert message in capsys.readouterr().err


def test_the_whitening_of_rfad_follows_the_data() -> None:
    path = SAMPLES / "cifar10" / "2" / "best.npz"
    made = exchange.read(path, corpus=corpus())
    assert made.whitening.kind == "zca_rfad"
    assert made.meta.method == "rfad"
    np.testing.assert_array_equal(made.synthetic.image, EXPECTED["image"])
    np.testing.assert_array_equal(made.synthetic.target, EXPECTED["label"])
    house = exchange.read(path, corpus=corpus(name="svhn"))
    assert house.whitening.kind == "zca_rfad_l2"


def test_the_folders_of_rfad_name_the_data(tmp_path: Path) -> None:
    place = tmp_path / "cifar10" / "10" / "best.npz"
    place.parent.mkdir(parents=True)
    shutil.copy(DIGITS, place)
    config = cli.parse(["--set", str(place), "--protocol", "rfad"])
    assert config.data.name == "cifar10"  # type: ignore[attr-defined]
    asked = config.evaluate.regression.kernels  # type: ignore[attr-defined]
    assert asked == tuple(map(parse_kernel, ("nngp-convnet3", "ntk-convnet3")))
