"""A person's own photos, from the command line to the report."""

from pathlib import Path

import numpy as np
import pytest

from jaxdd.run import choose, cli
from jaxdd.run.config import RunConfig
from tests.data.pictures import class_files, write_folder, write_zip


def parse(text: str) -> RunConfig:
    config = cli.parse(text.split())
    assert isinstance(config, RunConfig)
    return config


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "photos", class_files(3, 20, suffix=".jpg"))


@pytest.mark.parametrize("method", ["dm", "krr_ssl", "random", "kmeans", "class_mean"])
def test_a_folder_chooses_its_preset(method: str, photos: Path) -> None:
    config = parse(f"--method {method} --data.dir {photos}")
    assert (config.preset, config.data.name) == ("folder", "folder")
    assert config.data.dir == photos
    assert config.data.resize == 32


def test_an_archive_and_an_unknown_data_set_do_too(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "p.zip", class_files(2, 2))
    assert parse(f"--method dm --data.dir {archive}").preset == "folder"
    svhn = parse("--method dm --data.name svhn")
    assert (svhn.preset, svhn.data.name, svhn.data.resize) == ("folder", "svhn", None)
    tfds = parse("--method dm --data.name tfds:beans")
    assert (tfds.preset, tfds.data.resize) == ("folder", 32)


def test_a_preset_that_is_named_or_made_for_the_data_comes_first(photos: Path) -> None:
    named = parse(f"--method dm --preset mnist --data.dir {photos}")
    assert (named.preset, named.data.name) == ("mnist", "mnist")
    assert parse("--method dm --data.name mnist").preset == "mnist"
    assert parse("--method krr_ssl --data.name cifar10").preset == "cifar10_cpu"
    assert parse("--method dm --data.name cifar10").preset == "cifar10_cpu"
    assert parse("--method dm --data.name cifar100").preset == "folder"  # no paper's


def test_networks_are_cut_to_small_images(photos: Path) -> None:
    config = parse(f"--method dm --data.dir {photos} --data.resize 4 --ipc 2")
    assert config.data.resize == 4
    assert config.distill.network.width == (32, 32)
    assert config.evaluate.network.width == (32, 32)
    with_name = choose.on_data(choose.preset("dm", "folder")[1], "folder", None)
    assert with_name.distill.network.width == (32, 32, 32)


def test_the_command_ends_with_pictures_and_a_report(photos: Path, tmp_path: Path):
    out = tmp_path / "run"
    command = f"--method dm --data.dir {photos} --data.resize 8 --ipc 1 --run.steps 3"
    command += f" --evaluate.train.steps 5 --run.cache {tmp_path / 'cache'}"
    assert cli.main([*command.split(), "--workdir", str(out)]) == 0
    page = (out / "report.html").read_text()
    assert "photos" in page
    assert "--data.resize 8" in page
    assert (out / "figures" / "grid.png").stat().st_size > 1000
    with np.load(next(out.rglob("arrays.npz"))) as arrays:
        shapes = {name: arrays[name].shape for name in arrays.files}
    assert (3, 8, 8, 3) in shapes.values()


def test_mistakes_of_a_folder_get_code_2(photos: Path, tmp_path: Path, capsys) -> None:
    more = class_files(1, 30, suffix=".jpg")
    write_folder(photos, more)  # class0 alone could make up for the others
    (photos / "class1" / "03.jpg").write_bytes(b"no image")
    cases = {
        f"--data.dir {photos}": ["class1/03.jpg", "--data.skip-bad"],
        f"--data.dir {photos} --data.skip-bad --ipc 100": ["ipc=100", "300"],
        f"--data.dir {photos} --data.skip-bad --ipc 16": ["ipc=16", "class 'class1'"],
        f"--data.dir {tmp_path / 'nowhere'} --data.name folder": ["does not exist"],
        f"--data.dir {photos} --data.test-share 2": ["data.test_share is 2.0"],
    }
    for options, parts in cases.items():
        text = f"--method dm {options} --workdir {tmp_path / 'run'} --run.cache "
        assert cli.main([*text.split(), str(tmp_path / "cache")]) == 2
        message = capsys.readouterr().err
        assert all(part in message for part in parts), message
        assert "Traceback" not in message
