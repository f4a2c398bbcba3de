"""Judging and exporting a set that is there already, from the command line."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import jaxdd
from jaxdd import exchange
from jaxdd.presets import protocols
from jaxdd.records import Labelled
from jaxdd.run import cli, judging
from jaxdd.run.config import JudgeConfig
from tests.helpers import toy_corpus

SAMPLES = Path(__file__).parents[1] / "exchange" / "samples"


def answer(text: str, capsys) -> tuple[int, str]:
    code = cli.main(text.split())
    out, err = capsys.readouterr()
    return code, out + err


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A work directory with one set, judged by a smoke protocol."""
    folder = tmp_path_factory.mktemp("made") / "run"
    assert cli.main(["--method", "class_mean", "--ipc", "1", "--smoke", "--workdir",
                     str(folder)]) == 0  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def theirs(tmp_path_factory) -> Path:
    """Somebody's arrays: random digits, float pixels."""
    path = tmp_path_factory.mktemp("theirs") / "set.npz"
    rng = np.random.default_rng(0)
    np.savez(
        path, images=rng.random((20, 8, 8, 1), np.float32), labels=np.arange(20) % 10
    )
    return path


def test_our_own_set_brings_data_and_protocol(made: Path) -> None:
    config = cli.parse(["--set", str(made), "--students", "2"])
    assert isinstance(config, JudgeConfig)
    assert config.data.name == "digits"
    assert config.evaluate == jaxdd.load(made / "set").meta.protocol
    assert config.students == 2


def test_a_set_is_judged_and_reported(made: Path, tmp_path: Path, capsys) -> None:
    place = tmp_path / "judged"
    command = f"--set {made} --students 3 --networks mlp:2 --workdir {place}"
    code, _ = answer(command, capsys)
    assert code == 0
    report = json.loads((place / "report.json").read_text())
    found = {(r["set"], r["network"], r["seeds"]) for r in report["rows"]}
    own = next(r["network"] for r in report["rows"])
    assert {("class_mean", own, 3), ("random", own, 3), ("random", "mlp", 2)} <= found
    page = (place / "report.html").read_text()
    assert "Across architectures" in page
    assert (place / "figures" / "architectures.png").stat().st_size > 5000
    code, out = answer(command, capsys)
    assert code == 0
    assert "is finished" in out


def test_another_set_in_the_same_folder_is_refused(
    made: Path, theirs: Path, tmp_path: Path, capsys
) -> None:
    place = tmp_path / "judged"
    assert answer(f"--set {made} --smoke --workdir {place}", capsys)[0] == 0
    other = f"--set {theirs} --data.name digits --protocol dc --smoke"
    code, text = answer(f"{other} --workdir {place}", capsys)
    assert code == 2
    assert "another configuration" in text


def test_somebody_elses_set_needs_data_and_protocol(theirs: Path, capsys) -> None:
    code, text = answer(f"--set {theirs}", capsys)
    assert code == 2
    assert "--data.name" in text
    code, text = answer(f"--set {theirs} --data.name digits", capsys)
    assert code == 2
    assert "--protocol" in text
    assert "vico" in text
    named = f"--set {theirs} --data.name digits --protocol vicoo"
    code, text = answer(named, capsys)
    assert code == 2
    assert "Did you mean 'vico'" in text


def test_somebody_elses_set_is_judged(theirs: Path, tmp_path: Path, capsys) -> None:
    place = tmp_path / "judged"
    command = f"--set {theirs} --data.name digits --protocol vico --smoke"
    code, _ = answer(f"{command} --workdir {place}", capsys)
    assert code == 0
    rows = json.loads((place / "report.json").read_text())["rows"]
    assert {"imported", "random"} == {row["set"] for row in rows}


def test_sets_of_other_projects_are_asked_for_what_they_do_not_say(capsys) -> None:
    sample = next(SAMPLES.glob("**/images_*.pt"))
    code, text = answer(
        f"--set {sample} --data.name digits --protocol mtt --smoke", capsys
    )
    assert code == 2
    assert "whitening" in text or "images" in text


def test_set_and_method_exclude_each_other(made: Path, capsys) -> None:
    code, text = answer(f"--set {made} --method dm", capsys)
    assert code == 2
    assert "leave out one" in text


@pytest.mark.parametrize("form", exchange.FORMATS)
def test_exports_can_be_judged_and_used_as_data(
    form: str, made: Path, tmp_path: Path, capsys
) -> None:
    place = tmp_path / f"small-{form}"
    code, text = answer(f"--set {made} --export {form} --export-dir {place}", capsys)
    assert code == 0
    assert f"exported {form}" in text
    written = place if form != "npz" else place.with_name(f"{place.name}.npz")
    again, before = exchange.read(written), jaxdd.load(made / "set")
    np.testing.assert_array_equal(again.synthetic.image, before.synthetic.image)
    config = cli.parse(["--set", str(written)])
    assert isinstance(config, JudgeConfig)
    assert config.data.name == "digits"


def test_a_run_exports_what_it_made(tmp_path: Path, capsys) -> None:
    place = tmp_path / "run"
    command = f"--method random --ipc 1 --smoke --export npz --workdir {place}"
    assert answer(command, capsys)[0] == 0
    assert exchange.read(place / "export-npz.npz").meta.method == "random"


def test_a_named_protocol_is_fitted_and_keeps_what_was_asked() -> None:
    digits = dataclasses.replace(toy_corpus(), name="digits")
    asked = protocols.known("vico")
    fitted = judging.fitted_protocol("vico", asked, digits, 10)
    assert fitted == protocols.named("vico", (8, 8, 1), size=10, mirrors=False)
    train = dataclasses.replace(asked.train, batch=32)
    changed = dataclasses.replace(
        asked, train=train, labelled=Labelled(networks=("mlp",))
    )
    mixed = judging.fitted_protocol("vico", changed, digits, 10)
    assert mixed.train.batch == 32
    assert mixed.labelled.networks == ("mlp",)
    assert "flip" not in mixed.train.augment.strategy
    assert mixed.network == fitted.network
    photos = dataclasses.replace(toy_corpus(), name="folder")
    assert judging.fitted_protocol("vico", asked, photos, 10).train == asked.train


def test_networks_that_do_not_fit_are_refused_before_anything_runs(
    tmp_path: Path, capsys
) -> None:
    place = tmp_path / "run"
    command = f"--method random --ipc 1 --smoke --networks vgg11 --workdir {place}"
    code, text = answer(command, capsys)
    assert code == 2
    assert "vgg11" in text
    assert not place.exists()
