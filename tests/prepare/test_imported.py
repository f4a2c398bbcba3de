"""A teacher from a checkpoint."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import whiten
from jaxdd.base import Dataset
from jaxdd.errors import InputError
from jaxdd.networks.imported import from_torch
from jaxdd.networks.teacher import represent
from jaxdd.prepare.imported import import_teacher, teacher_identity
from jaxdd.records import (
    ResNet,
    Teacher,
    TeacherNeed,
    from_dict,
    to_dict,
)
from jaxdd.run import cli
from tests.helpers import toy_corpus
from tests.networks.test_imported import shapes
from tests.prepare.cases import prepare

NETWORK = ResNet("resnet10", norm="batch")


def written(path, seed=0):
    """A whole ResNet-10 with random weights."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in shapes("resnet10").items():
        size = (2 / np.prod(shape[1:])) ** 0.5 if len(shape) > 1 else 0.1
        draw = size * rng.normal(size=shape)
        ones = "var" in name or ("bn" in name and "weight" in name)
        arrays[name] = (draw * (not ones) + ones).astype(np.float32)
    np.savez(path, **arrays)
    return arrays


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The path and the arrays of a checkpoint."""
    path = tmp_path_factory.mktemp("checkpoint") / "resnet10.npz"
    return path, written(path)


@pytest.fixture(scope="module")
def dataset():
    corpus = toy_corpus(channels=3, per_class=4)
    return Dataset(dataclasses.replace(corpus, num_classes=0), None)


def _never(step, state, num_steps, data, *, stage):
    raise AssertionError("trained")


def test_the_teacher_is_imported_and_not_trained(checkpoint, dataset, tmp_path):
    path, arrays = checkpoint
    need, lines = TeacherNeed(Teacher(NETWORK, checkpoint=path)), []
    cache = tmp_path / "cache"
    asset, report = prepare(need, dataset, drive=_never, cache=cache, say=lines.append)
    assert set(report) == {"collapse"}
    assert str(path) in lines[0]
    corpus = dataset.train
    want = from_torch(arrays, NETWORK, corpus.image_shape, 0)
    jax.tree.map(np.testing.assert_array_equal, asset.variables, want)
    _, read, width = represent(need.teacher, corpus.image_shape)
    assert asset.table.shape == (1, corpus.size, width)
    output = jax.jit(read)(want, whiten.to_unit(corpus.image))
    np.testing.assert_allclose(asset.table[0], output, rtol=1e-4, atol=1e-5)

    entries = {p.name: p.stat().st_mtime_ns for p in cache.iterdir()}
    moved = path.with_name("moved.npz")
    moved.write_bytes(path.read_bytes())
    again = TeacherNeed(dataclasses.replace(need.teacher, checkpoint=moved))
    _, same = prepare(again, dataset, drive=_never, cache=cache)
    assert same == report
    assert {p.name: p.stat().st_mtime_ns for p in cache.iterdir()} == entries


def test_a_standardised_representation(checkpoint, dataset):
    path, _ = checkpoint
    teacher = Teacher(NETWORK, checkpoint=path, standardise=True)
    asset, _ = prepare(TeacherNeed(teacher), dataset, drive=_never)
    np.testing.assert_allclose(asset.table[0].mean(0), 0, atol=1e-4)
    deviation = np.asarray(asset.table[0].std(0))
    np.testing.assert_allclose(deviation[deviation > 0.1], 1, atol=1e-3)
    assert (deviation > 0.1).sum() > 100


def test_the_last_layer_as_representation(checkpoint, dataset):
    path, arrays = checkpoint
    teacher = Teacher(NETWORK, represent="output", outputs=10, checkpoint=path)
    kernel = import_teacher(teacher, dataset.train).params["head"]["kernel"]
    np.testing.assert_array_equal(kernel, jnp.asarray(arrays["fc.weight"]).T)


def test_a_checkpoint_counts_by_its_content(checkpoint, tmp_path):
    path, _ = checkpoint
    teacher = Teacher(NETWORK, checkpoint=path)
    copied, other = tmp_path / "copied.npz", tmp_path / "other.npz"
    copied.write_bytes(path.read_bytes())
    written(other, seed=1)
    of = lambda file: teacher_identity(dataclasses.replace(teacher, checkpoint=file))
    assert of(copied) == of(path)
    assert of(other) != of(path)
    plain = Teacher(NETWORK)
    assert teacher_identity(plain) is plain


def test_checkpoints_that_do_not_fit(checkpoint, dataset, tmp_path):
    path, _ = checkpoint
    deeper = Teacher(ResNet("resnet18", norm="batch"), checkpoint=path)
    with pytest.raises(InputError, match=r"resnet10\.npz.*at layer1\.1\.conv1"):
        prepare(TeacherNeed(deeper), dataset)
    missing = Teacher(NETWORK, checkpoint=tmp_path / "none.pt")
    with pytest.raises(InputError, match=r"none\.pt does not exist"):
        prepare(TeacherNeed(missing), dataset)
    grey = Dataset(toy_corpus(per_class=4), None)
    with pytest.raises(InputError, match=r"conv1\.weight.*\[3, 3, 3, 64\].*1, 64\]"):
        prepare(TeacherNeed(Teacher(NETWORK, checkpoint=path)), grey)


def test_the_record_with_a_checkpoint_survives_json(tmp_path):
    teacher = Teacher(NETWORK, checkpoint=tmp_path / "weights.pt")
    assert from_dict(Teacher, to_dict(teacher)) == teacher
    assert to_dict(teacher)["checkpoint"] == str(tmp_path / "weights.pt")


def test_the_command_line_takes_a_checkpoint(checkpoint, tmp_path, capsys):
    path, _ = checkpoint
    given = [
        *("--method", "krr_ssl", "--data.name", "digits"),
        *("--distill.teacher.checkpoint", str(path), "--workdir", str(tmp_path)),
        *("--distill.teacher.network.name", "resnet10"),
        *("--distill.teacher.network.norm", "batch"),
        *("--distill.teacher.represent", "features"),
    ]
    config = cli.parse(given)
    assert config.distill.teacher.checkpoint == path
    assert cli.main(given) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "resnet10.npz is of another architecture: at conv1.weight" in message
