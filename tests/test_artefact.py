"""Sets on disk: everything comes back, and damage is told from absence."""

import dataclasses
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdd import artefact, files, whiten
from jaxdd.base import Distilled, Synthetic, Variables
from jaxdd.errors import InputError
from jaxdd.records import (
    ConvNet,
    DataSpec,
    Meta,
    Protocol,
    Row,
    Teacher,
)


def example(kind: str = "zca_kornia") -> Distilled:
    """A representation set with a learned scalar, a teacher, and empty parts."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal((5, 4, 4, 2)).astype(np.float32)
    whitening = whiten.fit(kind, rng.integers(0, 256, (30, 4, 4, 2)).astype(np.uint8))
    meta = Meta(
        method="krr_ssl",
        dataset="toy",
        dataset_hash="abc",
        image_shape=(4, 4, 2),
        num_classes=0,
        class_names=(),
        label_kind="representation",
        protocol=Protocol("p", ConvNet(width=(4,), norm="batch")),
        data=DataSpec("npz", dir=Path("somewhere"), train_limit=3),
        teacher=Teacher(projector=(8, 8)),
        config={"ridge": 1e-6, "views": {"crop": 4}},
        rows=(Row("krr_ssl", "knn", 0.2, values=(0.1, 1 / 3)),),
        versions={"jaxdd": "0"},
    )
    teacher = Variables(
        params={"conv": {"kernel": jnp.ones((3, 3, 2, 4)), "bias": jnp.zeros(4)}},
        stats={},
    )
    extra = Variables(
        (jnp.arange(3), {"deep": (jnp.ones(2, jnp.bfloat16),)}), {"n": {}}
    )
    target = jnp.asarray(rng.standard_normal((5, 3)).astype(np.float32))
    synthetic = Synthetic(
        jnp.asarray(image), target, jnp.ones(5), {"log_lr": jnp.asarray(0.5)}
    )
    return Distilled(synthetic, meta, whitening, {"teacher": teacher, "extra": extra})


def assert_same(one: object, other: object) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


@pytest.mark.parametrize("kind", whiten.KINDS)
def test_set_comes_back_whole(kind: str, tmp_path: Path) -> None:
    before = example(kind)
    saved = artefact.save(before, tmp_path / "set")
    after = artefact.load(tmp_path / "set")
    assert_same(before.synthetic, after.synthetic)
    assert_same(before.modules, after.modules)
    assert_same(before.whitening, after.whitening)
    assert after.whitening.kind == kind
    assert after.meta == saved.meta
    assert dataclasses.replace(after.meta, storage={}) == before.meta


def test_bare_set_needs_no_extras(tmp_path: Path) -> None:
    whole = example("none")
    synthetic = Synthetic(whole.synthetic.image, jnp.arange(5), jnp.ones(5))
    meta = dataclasses.replace(whole.meta, versions={})
    artefact.save(Distilled(synthetic, meta, whole.whitening, {}), tmp_path / "set")
    after = artefact.load(str(tmp_path / "set"))
    assert after.synthetic.hyper == ()
    assert after.modules == {}
    assert after.synthetic.target.dtype == jnp.int32
    assert {"jaxdd", "jax", "python"} <= set(after.meta.versions)


def test_ledger_counts_bytes(tmp_path: Path) -> None:
    saved = artefact.save(example("standard"), tmp_path / "set")
    teacher, extra = 3 * 3 * 2 * 4 * 4 + 4 * 4, 3 * 4 + 2 * 2
    assert saved.meta.storage == {
        "images": 5 * 4 * 4 * 2 * 4,
        "targets": 5 * 3 * 4 + 5 * 4 + 4,
        "modules": teacher + extra,
        "whitening": 2 * 2 * 4,
    }


def test_saving_again_replaces_and_is_reproducible(tmp_path: Path) -> None:
    first = example("none")
    artefact.save(first, tmp_path / "set")
    bytes_before = (tmp_path / "set" / "arrays.npz").read_bytes()
    artefact.save(first, tmp_path / "set")
    assert (tmp_path / "set" / "arrays.npz").read_bytes() == bytes_before
    moved = first.synthetic._replace(image=first.synthetic.image + 1)
    artefact.save(first._replace(synthetic=moved), tmp_path / "set")
    assert_same(artefact.load(tmp_path / "set").synthetic, moved)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]


def test_description_can_be_read_by_a_person(tmp_path: Path) -> None:
    artefact.save(example(), tmp_path / "set")
    description = json.loads((tmp_path / "set" / "meta.json").read_text())
    assert description["content"]["synthetic"]["image"] == "float32[5,4,4,2]"
    assert description["meta"]["protocol"]["network"]["width"] == [4]
    names = files.read_npz(tmp_path / "set" / "arrays.npz")
    assert "modules/teacher/params/conv/kernel" in names


def test_absence_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no distilled set here"):
        artefact.load(tmp_path / "nothing")
    artefact.save(example(), tmp_path / "set")
    (tmp_path / "set" / "arrays.npz").unlink()
    with pytest.raises(InputError, match=r"arrays\.npz"):
        artefact.load(tmp_path / "set")


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_truncated_arrays_are_refused(keep: int, tmp_path: Path) -> None:
    artefact.save(example(), tmp_path / "set")
    path = tmp_path / "set" / "arrays.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="damaged"):
        artefact.load(tmp_path / "set")


def test_changed_byte_is_refused(tmp_path: Path) -> None:
    artefact.save(example(), tmp_path / "set")
    path = tmp_path / "set" / "arrays.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match="damaged"):
        artefact.load(tmp_path / "set")


def edit(folder: Path, change) -> None:
    description = json.loads((folder / "meta.json").read_text())
    change(description)
    (folder / "meta.json").write_text(json.dumps(description))


def test_other_format_is_refused(tmp_path: Path) -> None:
    artefact.save(example(), tmp_path / "set")
    edit(tmp_path / "set", lambda d: d.update(format=artefact.FORMAT + 1))
    with pytest.raises(InputError, match="format 3"):
        artefact.load(tmp_path / "set")


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("sha256"),
        lambda d: d.pop("format"),
        lambda d: d["meta"].pop("protocol"),
        lambda d: d["meta"].update(novel=1),
        lambda d: d.update(whitening="novel"),
        lambda d: d["content"]["whitening"].pop("matrix"),
        lambda d: d["content"]["synthetic"].update(image="float32[5,4,4,3]"),
        lambda d: d["content"]["synthetic"].update(novel="float32[1]"),
        lambda d: d["content"].pop("synthetic"),
    ],
)
def test_damaged_description_is_refused(change, tmp_path: Path) -> None:
    artefact.save(example(), tmp_path / "set")
    edit(tmp_path / "set", change)
    with pytest.raises(InputError, match="damaged set"):
        artefact.load(tmp_path / "set")


def test_truncated_description_is_refused(tmp_path: Path) -> None:
    artefact.save(example(), tmp_path / "set")
    path = tmp_path / "set" / "meta.json"
    path.write_text(path.read_text()[:50])
    with pytest.raises(InputError, match="damaged"):
        artefact.load(tmp_path / "set")


def test_failed_save_leaves_the_old_set(tmp_path: Path, monkeypatch) -> None:
    first = example()
    artefact.save(first, tmp_path / "set")

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(InputError, match="cannot write"):
        artefact.save(first, tmp_path / "set")
    monkeypatch.undo()
    assert_same(artefact.load(tmp_path / "set").synthetic, first.synthetic)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["set"]
