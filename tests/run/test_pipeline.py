"""A run from arrays to report: what it leaves, what it skips, what it refuses."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import artefact
from jaxdd.base import Dataset
from jaxdd.data import feeds
from jaxdd.data.corpus import dataset_from_arrays
from jaxdd.devices.mesh import mesh_of
from jaxdd.errors import InputError
from jaxdd.loop.log import read_metrics
from jaxdd.loop.loop import Loop
from jaxdd.prepare import Prepared, needs, prepare_all
from jaxdd.records import (
    ConvNet,
    DataSpec,
    LoopConfig,
    Preset,
    Protocol,
    Recipe,
    Sgd,
    TeacherNeed,
)
from jaxdd.report import html
from jaxdd.run import choose, dry_run, pipeline, plan, verify, workdir
from jaxdd.run.config import RunConfig, from_preset
from jaxdd.run.context import RunContext
from tests.helpers import toy_images

TINY = Protocol(
    name="tiny",
    network=ConvNet(width=(4,), norm="batch"),
    train=Recipe(steps=3, optimiser=Sgd(0.1)),
)


def toy(labels: bool = True, seed: int = 0) -> Dataset:
    """Forty-eight training and sixteen test images of four classes."""
    train = toy_images(seed)
    test = toy_images(seed + 1, per_class=4)
    if not labels:
        train, test = (train[0], None), (test[0], None)
    return dataset_from_arrays(train, test, DataSpec(whitening="standard"))


def configuration(folder: Path, method: str = "dm", **changes) -> RunConfig:
    name, preset = choose.preset(method)
    preset = dataclasses.replace(
        choose.smoke(method, preset), evaluate=TINY, steps=3, ipc=1, size=None
    )
    loop = LoopConfig(steps=3, chunk=2, cache=folder / "cache", progress=False)
    fields = {"workdir": folder / "run", "run": loop} | changes
    return from_preset(method, name, preset, **fields)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return toy()


@pytest.fixture(scope="module")
def finished(tmp_path_factory, dataset: Dataset) -> RunConfig:
    """A finished run, shared by the tests that only look at it."""
    config = configuration(tmp_path_factory.mktemp("finished"))
    pipeline.run(config, dataset=dataset, command="the command")
    return config


def folder_of(config: RunConfig) -> Path:
    assert config.workdir is not None
    return config.workdir


def test_a_run_leaves_everything(finished: RunConfig) -> None:
    folder = folder_of(finished)
    for name in ("config.json", "metrics.jsonl", "report.html", "set/arrays.npz"):
        assert (folder / name).stat().st_size > 0, name
    pictures = {path.stem for path in (folder / "figures").glob("*.png")}
    assert pictures == {"grid", "grid_raw", "loss", "rows"}
    assert "the command" in (folder / "report.html").read_text()
    assert not (folder / "checkpoints").exists()
    report = json.loads((folder / "report.json").read_text())
    assert {row["set"] for row in report["rows"]} == {"dm", "random", "class_mean"}
    wanted = {"set", "metric", "mean", "std", "seeds", "network", "protocol"}
    assert all(wanted <= row.keys() for row in report["rows"])
    assert report["seconds"].keys() >= {"distill", "evaluate"}
    assert report["versions"]["jax"] == jax.__version__
    assert report["set"] == {"size": 4, "ipc": 1, "targets": "hard"}
    assert report["dataset"]["train"] == 48


def test_the_set_carries_its_description(finished: RunConfig) -> None:
    made = artefact.load(folder_of(finished) / "set")
    assert made.meta.method == "dm"
    assert made.meta.label_kind == "hard"
    assert made.meta.rows[0].set == "dm"
    assert made.meta.protocol == TINY
    assert made.meta.config["distill.batch"] == finished.distill.batch
    np.testing.assert_array_equal(made.synthetic.target, np.arange(4))


def test_a_finished_run_only_reports(finished, dataset, monkeypatch) -> None:
    def never(*arguments, **options):
        raise AssertionError("nothing is left to do")

    for name in ("distil", "prepare_all"):
        monkeypatch.setattr(pipeline, name, never)
    monkeypatch.setattr(RunContext, "measure", never)
    said: list[str] = []
    report = pipeline.run(finished, dataset=dataset, say=said.append)
    assert report.rows[0].set == "dm"
    assert any("--overwrite" in line for line in said)


def test_another_configuration_is_refused_by_name(finished, dataset) -> None:
    other = dataclasses.replace(finished, seed=3)
    before = sorted(folder_of(finished).rglob("*"))
    with pytest.raises(InputError, match=r"seed: 0 there, 3 now"):
        pipeline.run(other, dataset=dataset)
    assert sorted(folder_of(finished).rglob("*")) == before


def test_other_data_is_refused(finished: RunConfig) -> None:
    with pytest.raises(InputError, match=r"data\.content"):
        pipeline.run(finished, dataset=toy(seed=9))


def test_stages_one_by_one_equal_all_at_once(finished, dataset, tmp_path) -> None:
    config = configuration(tmp_path)
    for stage, rows in (("prepare", 0), ("distill", 0), ("evaluate", 6)):
        part = dataclasses.replace(config, stage=stage)
        assert len(pipeline.run(part, dataset=dataset).rows) == rows
    one = artefact.load(folder_of(finished) / "set")
    other = artefact.load(folder_of(config) / "set")
    np.testing.assert_array_equal(one.synthetic.image, other.synthetic.image)
    assert one.meta.rows == other.meta.rows


def test_evaluating_nothing_is_refused(dataset, tmp_path: Path) -> None:
    config = configuration(tmp_path, stage="evaluate")
    with pytest.raises(InputError, match="--stage distill"):
        pipeline.run(config, dataset=dataset)


def test_overwrite_begins_anew_but_only_its_own(dataset, tmp_path: Path) -> None:
    config = configuration(tmp_path, stage="prepare")
    pipeline.run(config, dataset=dataset)
    (folder_of(config) / "left over").write_text("x")
    anew = dataclasses.replace(config, seed=5, overwrite=True)
    pipeline.run(anew, dataset=dataset)
    assert not (folder_of(config) / "left over").exists()
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "chapter.tex").write_text("precious")
    with pytest.raises(InputError, match="no work directory"):
        pipeline.run(dataclasses.replace(anew, workdir=foreign), dataset=dataset)
    assert (foreign / "chapter.tex").exists()


def test_a_folder_that_cannot_be_made_is_named(dataset, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "file", tmp_path / "file" / "below"):
        config = configuration(tmp_path, workdir=place)
        with pytest.raises(InputError, match="file"):
            pipeline.run(config, dataset=dataset)


def test_seeds_share_one_compilation(dataset, tmp_path: Path, monkeypatch) -> None:
    traces: list[int] = []

    def counted(*arguments, **options):
        traces.append(1)
        return plan_sample(*arguments, **options)

    plan_sample = feeds.sample
    monkeypatch.setattr(feeds, "sample", counted)
    counts = []
    for seeds in (1, 3):
        traces.clear()
        config = configuration(tmp_path / str(seeds), seeds=seeds, stage="distill")
        pipeline.run(config, dataset=dataset)
        counts.append(len(traces))
    assert counts[0] == counts[1]
    folder = tmp_path / "3" / "run"
    images = [
        np.asarray(artefact.load(place).synthetic.image)
        for place in workdir.sets_in(folder)
    ]
    assert len(images) == 3
    assert not np.array_equal(images[0], images[1])


def test_several_seeds_make_one_report(dataset, tmp_path: Path) -> None:
    report = pipeline.run(configuration(tmp_path, seeds=2), dataset=dataset)
    assert all(row.seeds == 2 for row in report.rows)
    own = report.rows[0]
    assert own.mean == pytest.approx(np.mean(own.values))
    for seed, value in enumerate(own.values):
        made = artefact.load(tmp_path / "run" / f"set-seed{seed}")
        assert made.meta.rows[0].values == (value,)


@pytest.mark.parametrize(
    ("counts", "labels", "parts"),
    [
        ({"ipc": None, "size": 49}, True, ["size=49", "48"]),
        ({"ipc": 13}, True, ["ipc=13", "48"]),
        ({"ipc": 1}, False, ["ipc=1", "no labels", "size"]),
        ({"ipc": 1, "size": 4}, True, ["exactly one"]),
        ({"ipc": None}, True, ["exactly one"]),
    ],
)
def test_sizes_that_do_not_fit(counts, labels, parts, tmp_path: Path) -> None:
    config = configuration(tmp_path, method="random", **counts)
    with pytest.raises(InputError) as caught:
        pipeline.run(config, dataset=toy(labels))
    assert all(part in str(caught.value) for part in parts)
    assert not folder_of(config).exists()


def test_too_many_devices_are_refused(dataset, tmp_path: Path) -> None:
    config = configuration(tmp_path, run=LoopConfig(devices=99))
    with pytest.raises(InputError, match=r"run\.devices=99"):
        plan.make_plan(config, dataset)


def test_many_devices_make_the_same_set(finished, dataset, tmp_path: Path) -> None:
    loop = dataclasses.replace(configuration(tmp_path).run, devices=8)
    config = configuration(tmp_path, run=loop, stage="distill")
    pipeline.run(config, dataset=dataset)
    one = artefact.load(folder_of(finished) / "set").synthetic.image
    other = artefact.load(folder_of(config) / "set").synthetic.image
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_teacher_is_trained_on_all_devices(tmp_path, dataset, monkeypatch) -> None:
    ends, meshes = [], []

    class Watched(Loop):
        def __call__(self, step, state, num_steps, data, *, stage):
            meshes.append(mesh_of(data))
            return super().__call__(step, state, num_steps, data, stage=stage)

    def train(need, data, site):
        def step(state, rows):
            return state + jnp.sum(site.shard(rows)), {"loss": state}

        rows = jnp.ones(16)
        ends.append(site.drive(step, jnp.zeros(()), 2, rows, stage="target")[0])
        return Prepared(())

    row = needs.KINDS[TeacherNeed]._replace(prepare=train)
    monkeypatch.setitem(needs.KINDS, TeacherNeed, row)
    loop = dataclasses.replace(configuration(tmp_path).run, devices=8)
    config = configuration(tmp_path, "krr_ssl", ipc=None, size=4, run=loop)
    made = plan.make_plan(config, dataset)
    context = RunContext(config)
    vars(context)["loop"] = Watched(progress=False)
    prepare_all(made.distiller.needs, dataset, context.site(made))
    assert float(ends[0]) == 32
    assert meshes[0].size == 8
    assert len(ends[0].sharding.device_set) == 1  # whoever asked knows of no mesh


def test_verify_agrees_and_notices(finished, monkeypatch, dataset, capsys) -> None:
    monkeypatch.setattr(RunContext, "load", lambda self, spec: dataset)
    assert verify.verify(folder_of(finished), finished)
    place = folder_of(finished) / "set"
    made = artefact.load(place)
    rows = tuple(
        dataclasses.replace(row, mean=row.mean + 0.5) for row in made.meta.rows
    )
    changed = made._replace(meta=dataclasses.replace(made.meta, rows=rows))
    other = folder_of(finished).parent / "changed"
    artefact.save(changed, other)
    assert not verify.verify(other, finished)
    assert "differs" in capsys.readouterr().out


def test_dry_run_measures_and_writes_nothing(dataset, tmp_path: Path) -> None:
    config = configuration(tmp_path, seeds=2)
    stages, repeats = dry_run.estimate(RunContext(config), dataset)
    assert stages[0].stage == "distill"
    assert stages[0].steps == 3
    assert stages[0].flops > 0
    assert stages[0].seconds_per_step > 0
    assert stages[0].memory is not None
    assert stages[0].memory.temporary > 0
    assert repeats["distill"] == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_teacher_is_trained_once(tmp_path: Path, dataset) -> None:
    preset = choose.smoke("krr_ssl", choose.preset("krr_ssl")[1])
    loop = LoopConfig(steps=2, chunk=2, cache=tmp_path / "cache", progress=False)

    def stages(seed: int, stage: str) -> set[str]:
        folder = tmp_path / f"run{seed}"
        config = from_preset(
            *("krr_ssl", "tiny", dataclasses.replace(preset, size=4)),
            **{"run": loop, "seed": seed, "stage": stage, "workdir": folder},
        )
        report = pipeline.run(config, dataset=dataset)
        assert report.teacher.keys() >= {"final_loss", "knn"}
        return set(read_metrics(folder / "metrics.jsonl"))

    assert stages(0, "distill") == {"target", "distill"}
    assert stages(1, "prepare") == set()
    made = artefact.load(tmp_path / "run0" / "set")
    assert made.meta.label_kind == "representation"
    assert made.modules["teacher"].params


def test_page_of_a_real_report(finished: RunConfig) -> None:
    from jaxdd.report import report

    found = report.read(folder_of(finished))
    assert found is not None
    assert "dm" in html.page(found, {})


def test_presets_promise_only_what_they_describe() -> None:
    from jaxdd.run.summary import _expected

    name, preset = choose.preset("krr_ssl")
    config = from_preset("krr_ssl", name, preset)
    assert _expected(config) == preset.expected
    assert isinstance(preset, Preset)
    changed = dataclasses.replace(config, size=7)
    assert _expected(changed) == ()
