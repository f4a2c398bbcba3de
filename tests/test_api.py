"""The calls a user makes: arrays in, a set out, saved, loaded, evaluated."""

import dataclasses

import numpy as np
import pytest

import jaxdd
from tests.helpers import toy_images

QUICK = {"steps": 2, "progress": False, "batch": 8}


@pytest.fixture(autouse=True)
def _private_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("JAXDD_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def small() -> jaxdd.Distilled:
    images, labels = toy_images()
    made = jaxdd.distill(images, labels, method="random", ipc=1, progress=False)
    train = dataclasses.replace(made.meta.protocol.train, steps=3)
    protocol = dataclasses.replace(made.meta.protocol, train=train)
    return made._replace(meta=dataclasses.replace(made.meta, protocol=protocol))


def test_a_set_of_the_asked_size(small: jaxdd.Distilled) -> None:
    assert small.synthetic.image.shape == (4, 8, 8, 1)
    np.testing.assert_array_equal(small.synthetic.target, np.arange(4))
    assert small.meta.preset.endswith("_fitted")
    assert small.meta.storage["images"] == 4 * 64 * 4
    assert small.meta.versions["jax"]


def test_saved_and_loaded(small: jaxdd.Distilled, tmp_path) -> None:
    jaxdd.save(small, tmp_path / "set")
    again = jaxdd.load(tmp_path / "set")
    np.testing.assert_array_equal(small.synthetic.image, again.synthetic.image)
    assert again.meta == small.meta


def test_evaluated_with_and_without_training_images(small: jaxdd.Distilled) -> None:
    train, test = toy_images(), toy_images(seed=1, per_class=5)
    alone = jaxdd.evaluate(small, test=test, progress=False)
    assert {row.set for row in alone.rows} == {"random"}
    assert any("no training split" in note for note in alone.notes)
    both = jaxdd.evaluate(small, test=test, train=train, progress=False)
    assert {"random", "class_mean"} <= {row.set for row in both.rows}
    assert both.rows[0].values == alone.rows[0].values


def test_kernels_are_asked_for_by_name(small: jaxdd.Distilled) -> None:
    split = toy_images(seed=1, per_class=5)
    asked = {"kernels": ("linear",), "ridge": 1e-3}
    report = jaxdd.evaluate(small, test=split, progress=False, **asked)
    networks = {row.network for row in report.rows}
    assert len(networks) == 2
    ridge = report.find("random", "ridge", "krr linear")
    assert ridge is not None
    assert ridge.mean == pytest.approx(1e-3)
    with pytest.raises(jaxdd.InputError, match="Did you mean 'linear'"):
        jaxdd.evaluate(small, test=split, kernels=("linar",), progress=False)


def test_a_test_split_need_not_have_every_class(small: jaxdd.Distilled) -> None:
    images, labels = toy_images(seed=1)
    keep = labels != 3
    report = jaxdd.evaluate(small, test=(images[keep], labels[keep]), progress=False)
    assert {row.metric for row in report.rows} == {"accuracy", "calibration_error"}


def test_settings_by_name_reach_the_method() -> None:
    images, labels = toy_images()
    made = jaxdd.distill(
        images,
        labels,
        method="dm",
        ipc=2,
        **QUICK,
        **{"augment.flip": True, "data.whitening": "none"},
    )
    assert made.synthetic.image.shape == (8, 8, 8, 1)
    assert made.meta.config["distill.augment.flip"] is True
    assert made.meta.config["distill.batch"] == 8
    assert made.meta.config["run.steps"] == 2
    assert made.whitening.kind == "none"


@pytest.mark.parametrize("side", [5, 12])
def test_images_no_preset_was_written_for(side: int) -> None:
    rng = np.random.default_rng(0)
    images = rng.random((20, side, side, 3)).astype(np.float32)
    labels = np.arange(20) % 2
    made = jaxdd.distill(images, labels, method="dm", ipc=1, **QUICK)
    assert made.synthetic.image.shape == (2, side, side, 3)
    assert np.isfinite(made.synthetic.image).all()


def test_unlabelled_images() -> None:
    images, _ = toy_images()
    made = jaxdd.distill(images, method="random", size=5, progress=False)
    assert made.synthetic.image.shape == (5, 8, 8, 1)
    assert made.meta.num_classes == 0


def test_rows_of_a_given_test_split_stay_with_the_set() -> None:
    images, labels = toy_images()
    test = toy_images(seed=1, per_class=4)
    options = {"evaluate.train.steps": 2, "progress": False}
    made = jaxdd.distill(images, labels, method="random", ipc=1, test=test, **options)
    assert made.meta.rows[0].metric == "accuracy"


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        ({"method": "dmm", "ipc": 1}, ["dmm", "'dm'"]),
        ({"method": "dm", "preset": "mnits"}, ["mnits", "mnist"]),
        ({"method": "dm", "ipc": 1, "size": 4}, ["ipc=1, size=4"]),
        ({"method": "dm", "ipc": 1, "learning_rat": 1.0}, ["learning_rat"]),
        ({"method": "random", "size": 500}, ["size=500", "48"]),
        (
            {"method": "frepo", "ipc": 1, "distill.labels": "learnt"},
            ("distill.labels='learnt'", "'learned'", "fixed"),
        ),
        (
            {"method": "dm", "ipc": 1, "network.norm": "batsh"},
            ("distill.network.norm='batsh'", "'batch'"),
        ),
    ],
)
def test_mistakes_name_the_argument(options, parts) -> None:
    images, labels = toy_images()
    with pytest.raises(jaxdd.InputError) as caught:
        jaxdd.distill(images, labels, **options)
    assert all(part in str(caught.value) for part in parts)


@pytest.mark.parametrize(
    ("image", "label", "part"),
    [
        (np.zeros((4, 8)), [0, 1, 0, 1], "shape"),
        (np.zeros((4, 8, 8), np.int64), [0, 1, 0, 1], "int64"),
        (np.full((4, 8, 8), 2.0), [0, 1, 0, 1], r"\[0,1\]"),
        (np.full((4, 8, 8), np.nan), [0, 1, 0, 1], "NaN"),
        (np.zeros((4, 8, 8)), [0, 1, 0], "3 labels"),
        (np.zeros((4, 8, 8)), [0, 1, 0, -1], "-1"),
        (np.zeros((4, 8, 8)), [0.0, 1.0, 0.0, 1.0], "float"),
        (np.zeros((4, 8, 8)), [0, 2, 0, 2], "classes"),
        (np.zeros((0, 8, 8)), [], "shape"),
    ],
)
def test_bad_arrays_are_named(image, label, part) -> None:
    with pytest.raises(jaxdd.InputError, match=part):
        jaxdd.distill(image, np.asarray(label), method="random", ipc=1)


def test_public_names_are_all_there() -> None:
    assert set(jaxdd.__all__) <= set(dir(jaxdd))
    for name in jaxdd.__all__:
        assert getattr(jaxdd, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = jaxdd.no_such_name
