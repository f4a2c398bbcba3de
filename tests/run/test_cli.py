"""The command line: what it takes, what it refuses and how, what it imports."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxdd.run import cli
from jaxdd.run.config import RunConfig

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "experiments" / "run.py"


def parse(text: str) -> RunConfig:
    config = cli.parse(text.split())
    assert isinstance(config, RunConfig)
    return config


def answer(text: str, capsys) -> tuple[int, str, str]:
    code = cli.main(text.split())
    out, err = capsys.readouterr()
    return code, out, err


def test_presets_are_typed_defaults() -> None:
    config = parse("--method krr_ssl")
    assert config.preset == "digits"
    assert config.data.name == "digits"
    assert config.run.steps > 0
    assert config.size is not None
    assert config.ipc is None


@pytest.mark.parametrize("spelling", ["learning-rate", "learning_rate"])
def test_dotted_options_are_typed(spelling: str) -> None:
    config = parse(
        f"--method krr_ssl --distill.optimiser.{spelling} 3e-4"
        " --distill.network.width 4 8 --run.steps 7 --run.precision bfloat16"
        " --data.view-budget 12 --seeds 5"
    )
    assert config.distill.optimiser.learning_rate == 3e-4
    assert config.distill.network.width == (4, 8)
    assert config.run.steps == 7
    assert config.run.precision == "bfloat16"
    assert config.data.view_budget == 12
    assert config.seeds == 5


def test_the_last_value_of_an_option_counts() -> None:
    assert parse("--method dm --method=krr_ssl --seed 1 --seed 2").method == "krr_ssl"
    assert parse("--method krr_ssl --preset mnist").data.name == "mnist"
    assert parse("--method krr_ssl --preset=mnist").preset == "mnist"


def test_size_and_ipc_replace_each_other() -> None:
    config = parse("--method krr_ssl --ipc 2")
    assert (config.ipc, config.size) == (2, None)
    config = parse("--method dm --size 20")
    assert (config.ipc, config.size) == (None, 20)


def test_data_name_chooses_a_preset() -> None:
    config = parse("--method krr_ssl --data.name mnist")
    assert (config.preset, config.data.name) == ("mnist", "mnist")


def test_an_npz_file_is_fitted(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    arrays = {"x_train": np.zeros((4, 8, 8), np.uint8), "y_train": np.arange(4)}
    np.savez(path, **arrays)
    config = parse(f"--method krr_ssl --data.dir {path}")
    assert (config.data.name, config.preset) == ("npz", "digits_fitted")
    assert config.data.dir == path


def test_smoke_is_tiny_and_can_be_changed() -> None:
    config = parse("--method krr_ssl --smoke --run.steps 3")
    assert config.run.steps == 3
    assert config.data.train_limit is not None
    assert config.evaluate.train.steps <= 20
    assert config.smoke


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("--method krr_sll", ["krr_sll", "krr_ssl"]),
        ("--method krr_ssl --preset mnits", ["mnits", "mnist"]),
        ("--method krr_ssl --data.name mnsit", ["mnsit", "mnist"]),
        (
            "--method krr_ssl --distill.optimser.learning-rate 1",
            ["optimser", "--distill.optimiser"],
        ),
        ("--method krr_ssl --sead 1", ["--sead", "--seed"]),
        ("--metod krr_ssl", ["--metod", "--method"]),
        ("--method krr_ssl --ipc 1 --size 2", ["ipc=1, size=2", "exactly one"]),
        ("--method krr_ssl --ipc none_at_all", ["--ipc"]),
        ("--method krr_ssl --size 0", ["size=0"]),
        ("--method krr_ssl --seeds 0", ["seeds=0"]),
        ("--method krr_ssl --run.chunk 0", ["run.chunk=0"]),
        ("--method krr_ssl --run.steps -1", ["run.steps=-1"]),
        ("--method krr_ssl --run.precision float16", ["float16", "bfloat16"]),
        ("--method krr_ssl --stage all_of_it", ["all_of_it", "evaluate"]),
        ("--method krr_ssl --data.dir nowhere.npz", ["nowhere.npz"]),
        ("--method krr_ssl --preset mnist --data.dir nowhere", ["nowhere", "mnist"]),
        ("--method krr_ssl --size 5000", ["size=5000", "1,347"]),
        ("--method krr_ssl --distill.ridge 0", ["ridge"]),
        ("--method class_mean --ipc 2", ["ipc"]),
        ("--verify nowhere", ["nowhere"]),
        ("", ["--method", "krr_ssl"]),
    ],
)
def test_mistakes_get_one_message_and_code_2(
    text: str, parts: list[str], capsys, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXDD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("JAXDD_DATA", raising=False)
    code, _, err = answer(text, capsys)
    assert code == 2, err
    for part in parts:
        assert part in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists()


def test_a_failure_is_code_1_and_logged(capsys, tmp_path: Path, monkeypatch) -> None:
    from jaxdd.run import pipeline

    def fail(config, **options):
        raise RuntimeError("the machine is on fire")

    monkeypatch.setattr(pipeline, "run", fail)
    monkeypatch.setenv("JAXDD_CACHE", str(tmp_path / "cache"))
    command = f"--method krr_ssl --workdir {tmp_path}"
    code, _, err = answer(command, capsys)
    assert code == 1
    assert "the machine is on fire" in err
    assert "Traceback" not in err
    assert "Traceback" in (tmp_path / "error.log").read_text()
    code, _, err = answer(f"{command} --debug", capsys)
    assert code == 1
    assert "Traceback" in err


def test_an_interrupt_says_how_to_go_on(capsys, tmp_path: Path, monkeypatch) -> None:
    from jaxdd.run import pipeline

    def interrupt(config, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(pipeline, "run", interrupt)
    monkeypatch.setenv("JAXDD_CACHE", str(tmp_path / "cache"))
    code, _, err = answer(f"--method krr_ssl --workdir {tmp_path}", capsys)
    assert code == 1
    assert "same command" in err


def test_list_shows_methods_parts_and_presets(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    code, out, _ = answer("--list", capsys)
    assert code == 0
    for part in ("krr_ssl", "dm", "KRR mse", "mnist", "class_mean"):
        assert part in out


def test_help_names_the_methods(capsys) -> None:
    code, text, _ = answer("--help", capsys)
    assert code == 0
    assert "--method" in text
    assert "krr_ssl" in text


def test_help_of_a_method_shows_its_settings(capsys) -> None:
    code, text, _ = answer("--method krr_ssl --help", capsys)
    assert code == 0
    assert "--distill.optimiser.learning-rate" in text
    assert "Presets: digits" in text


@pytest.mark.parametrize("call", ["parse", "main"])
def test_options_and_help_import_nothing_slow(call: str) -> None:
    words = ["--method", "krr_ssl", *(["--help"] if call == "main" else [])]
    code = (
        f"import sys\nfrom jaxdd.run import cli\ncli.{call}({words})\n"
        "heavy = 'sklearn matplotlib orbax tensorflow tensorflow_datasets'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_script_is_short() -> None:
    assert len(PROGRAM.read_text().splitlines()) <= 60
