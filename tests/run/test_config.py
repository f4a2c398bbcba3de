"""Configuration: identity, names, changes by dotted name, fitting presets."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from jaxdd import augment, methods, presets
from jaxdd.errors import InputError
from jaxdd.presets import fitting
from jaxdd.records import (
    Adam,
    AugmentSpec,
    ConvNet,
    DataSpec,
    LoopConfig,
    Mlp,
    NetworkSpec,
    OptimiserSpec,
    Preset,
    Protocol,
    Sgd,
)
from jaxdd.run import choose, config
from jaxdd.run.config import RunConfig


@dataclass(frozen=True)
class Settings:
    """Of a method that does not exist."""

    batch: int = 8
    outer: OptimiserSpec = Sgd()
    network: NetworkSpec = ConvNet()
    augment: AugmentSpec = AugmentSpec()


def example(**changes) -> RunConfig:
    return RunConfig(**({"method": "m", "distill": Settings(), "ipc": 1} | changes))


def test_identity_ignores_only_where_and_how_far() -> None:
    plain = example()
    moved = example(
        workdir=Path("elsewhere"),
        stage="prepare",
        overwrite=True,
        debug=True,
        run=LoopConfig(cache=Path("c"), progress=False),
    )
    assert config.identity(plain) == config.identity(moved)
    assert config.run_hash(plain) == config.run_hash(moved)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"seeds": 2},
        {"ipc": 2},
        {"distill": Settings(outer=Sgd(learning_rate=0.1))},
        {"data": DataSpec(view_budget=1)},
        {"evaluate": Protocol(neighbours=3)},
        {"run": LoopConfig(precision="bfloat16")},
    ],
)
def test_identity_knows_what_decides_the_outcome(changes) -> None:
    assert config.run_hash(example()) != config.run_hash(example(**changes))


def test_differences_name_the_settings_and_survive_json() -> None:
    old = json.loads(json.dumps(config.identity(example())))
    assert config.differences(old, config.identity(example())) == []
    other = config.identity(example(seed=3, distill=Settings(batch=4)))
    lines = config.differences(old, other)
    assert lines == [
        "distill.batch: 8 there, 4 now",
        "seed: 0 there, 3 now",
    ]


def test_workdir_is_named_by_the_run() -> None:
    one = config.workdir_of(example(preset="p"))
    assert one.parent == Path("runs")
    assert one.name.startswith("m-p-")
    assert one != config.workdir_of(example(preset="p", seed=1))
    assert config.workdir_of(example(workdir=Path("here"))) == Path("here")


def test_cache_folder_prefers_what_is_asked(monkeypatch) -> None:
    monkeypatch.setenv("JAXDD_CACHE", "from_environment")
    assert config.cache_folder(example()) == Path("from_environment")
    asked = example(run=LoopConfig(cache=Path("asked")))
    assert config.cache_folder(asked) == Path("asked")


def test_override_finds_settings_by_name() -> None:
    changed = config.override(
        example(),
        {
            "batch": 4,
            "outer.learning_rate": 0.5,
            "steps": 7,
            "data.whitening": "none",
            "network": {"width": [3, 4]},
            "distill.outer.name": "adam",
        },
    )
    assert changed.distill == Settings(4, Adam(0.5), ConvNet(width=(3, 4)))
    assert changed.run.steps == 7
    assert changed.data.whitening == "none"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("bach", "batch"), ("outer.learning_rat", "learning_rate"), ("data.pud", "pad")],
)
def test_override_suggests_the_nearest_name(name: str, nearest: str) -> None:
    with pytest.raises(InputError, match=f"no setting '{name}'.*{nearest}"):
        config.override(example(), {name: 1})


def test_override_refuses_to_go_into_a_number() -> None:
    with pytest.raises(InputError, match=r"batch\.size"):
        config.override(example(), {"batch.size": 1})


def test_augmentations_may_be_given_by_name() -> None:
    names = {"augment": "dsa", "evaluate.train.augment": "idc"}
    made = config.override(example(), names)
    assert made.distill.augment == augment.NAMED["dsa"]
    assert made.evaluate.train.augment == augment.NAMED["idc"]
    with pytest.raises(InputError, match=r"'dsaa' is unknown\. Did you mean 'dsa'"):
        config.override(example(), {"augment": "dsaa"})


def test_from_preset_takes_everything() -> None:
    preset = Preset(Settings(2), DataSpec("mnist"), 9, Protocol("q"), size=5)
    made = config.from_preset("m", "p", preset, seed=4)
    assert (made.method, made.preset, made.seed) == ("m", "p", 4)
    assert (made.distill, made.data, made.evaluate) == (
        Settings(2),
        DataSpec("mnist"),
        Protocol("q"),
    )
    assert (made.size, made.ipc, made.run.steps) == (5, None, 9)


def test_fitted_networks_do_not_pool_the_image_away() -> None:
    deep = Settings(network=ConvNet(width=(1, 2, 3, 4, 5, 6)))
    fitted = fitting.fit_networks(deep, 8)
    assert fitted.network.width == (1, 2, 3)
    assert dataclasses.replace(fitted, network=deep.network) == deep
    repeated = ConvNet(width=(4,), depth=5)
    assert fitting.fit_networks(repeated, 16).depth == 4
    kept = Mlp(width=(9, 9, 9, 9, 9))
    assert fitting.fit_networks(kept, 4) == kept


@pytest.mark.parametrize(
    ("shape", "preset", "pool"),
    [
        ((8, 8, 1), "digits", 1),
        ((28, 28), "mnist", 2),
        ((32, 32, 3), "folder", 1),
        ((64, 64, 3), "folder", 1),
    ],
)
def test_adapt_takes_the_nearest_light_preset(shape, preset, pool) -> None:
    name, chosen = choose.adapt("krr_ssl", shape)
    assert name == f"{preset}_fitted"
    assert chosen.data.pool == pool
    assert chosen.data.train_limit is None
    assert chosen.data.resize is None


def test_every_method_has_a_preset_and_a_tiny_one() -> None:
    for name in methods.names():
        known, default = presets.get(name), presets.default(name)
        assert default in known
        tiny = choose.smoke(name, known[default])
        assert tiny.distill == presets.smoke(name)
        assert tiny.data.train_limit is not None
        assert tiny.data.train_limit <= 200


@pytest.mark.parametrize("name", ["dm", "krr_ssl", "mtt", "dd"])
def test_a_method_without_presets_gets_those_of_its_family(monkeypatch, name) -> None:
    """One file is enough for a method: settings to run it, and to run it in seconds."""
    _, family = presets._files_of(name)
    monkeypatch.setattr(presets, "_files_of", lambda method: (None, family))
    known = presets.get(name)
    assert (list(known), presets.default(name)) == (["plain"], "plain")
    assert known["plain"].data.name == "digits"
    assert (known["plain"].ipc is None) != (known["plain"].size is None)
    assert isinstance(presets.smoke(name), methods.get(name).config)
