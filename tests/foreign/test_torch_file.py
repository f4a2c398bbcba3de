"""PyTorch's files read without PyTorch; code in them is refused and never runs."""

import io
import pickle
import struct
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxdd.errors import InputError
from jaxdd.foreign import read_tensors, torch_file
from tests.foreign.cases import mutations, survives

GOLDEN = Path(__file__).parents[1] / "networks" / "golden"
FORMATS = ("pt", "pth", "ckpt")
FLOATS = np.arange(6, dtype=np.float32)


def archive(
    data: bytes, storages=(), path=None, packing=zipfile.ZIP_STORED, more=None
) -> bytes:
    """A checkpoint in the zip format."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", packing) as file:
        file.writestr("archive/data.pkl", data)
        for number, storage in enumerate(storages):
            file.writestr(f"archive/data/{number}", storage)
        for name, content in (more or {}).items():
            file.writestr(f"archive/{name}", content)
    if path:
        path.write_bytes(stream.getvalue())
    return stream.getvalue()


def storage(kind="FloatStorage", name="0", count=6, module="torch") -> bytes:
    """The opcodes of a storage."""
    return f"(Vstorage\nc{module}\n{kind}\nV{name}\nVcpu\nI{count}\ntQ".encode()


def tensor(shape, stride, offset=0, held=None) -> bytes:
    """The opcodes of a view."""
    shape, stride = (
        b"(" + b"".join(b"I%d\n" % n for n in part) + b"t" for part in (shape, stride)
    )
    start = b"ctorch._utils\n_rebuild_tensor_v2\n(" + (held or storage())
    return start + b"I%d\n" % offset + shape + stride + b"I00\n(dtR"


def read(tmp_path, data, storages=(FLOATS.tobytes(),), **options):
    path = tmp_path / "made.pt"
    archive(data, storages, path, **options)
    return torch_file.read(path)


def refused(tmp_path, data, match, storages=(FLOATS.tobytes(),), **options):
    with pytest.raises(InputError, match=match) as caught:
        read(tmp_path, data, storages, **options)
    assert "made.pt" in str(caught.value)


@pytest.mark.parametrize("ending", FORMATS)
def test_every_format_holds_the_same_weights(ending):
    want = read_tensors(GOLDEN / "checkpoint_basic.safetensors")
    found = read_tensors(GOLDEN / f"checkpoint_basic.{ending}")
    if ending == "ckpt":
        assert {name.split(".")[0] for name in found} == {
            "backbone",
            "momentum_backbone",
            "projector",
        }
        want = {f"backbone.{n}": v for n, v in want.items() if n[:3] != "fc."}
    else:
        assert set(found) == set(want)
    for name, value in want.items():
        assert found[name].dtype == value.dtype
        np.testing.assert_array_equal(found[name], value)


def test_what_a_lightning_file_holds_beside_the_weights():
    tree = torch_file.read(GOLDEN / "checkpoint_basic.ckpt")
    assert tree["epoch"] == 3
    assert tree["callbacks"]["ModelCheckpoint"]["dirpath"] == "runs/barlow"
    assert tree["callbacks"]["ModelCheckpoint"]["best_model_score"] == 0.5
    assert tree["lr_schedulers"][0]["milestones"] == {60: 1}
    assert tree["shape"] == (2, 3)
    assert tree["rng"] == "cpu"
    assert str(tree["dtype"]) == "torch.float32"
    assert tree["optimizer_states"][0]["state"][0]["momentum_buffer"].shape == (3, 8)


def test_bfloat16_and_a_named_entry():
    path = GOLDEN / "checkpoint_bottleneck.pt"
    found = read_tensors(path)
    assert found["module.encoder_q.conv1.weight"].dtype == jnp.bfloat16
    assert read_tensors(path, "model").keys() == found.keys()
    with pytest.raises(InputError, match=r"under 'weights'.*holds epoch, model"):
        read_tensors(path, "weights")


def test_views_of_one_storage(tmp_path):
    rows, columns = tensor((2, 3), (3, 1)), tensor((3, 2), (1, 3))
    part, scalar, empty = (
        tensor((2,), (2,), 1),
        tensor((), (), 5),
        tensor((0, 3), (3, 1)),
    )
    found = read(tmp_path, b"(" + rows + columns + part + scalar + empty + b"l.")
    np.testing.assert_array_equal(found[0], FLOATS.reshape(2, 3))
    np.testing.assert_array_equal(found[1], FLOATS.reshape(2, 3).T)
    np.testing.assert_array_equal(found[2], [1, 3])
    assert found[3] == 5
    assert found[4].shape == (0, 3)
    with pytest.raises(ValueError, match="read-only"):
        found[0][0] = 1


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("DoubleStorage", "f8"),
        ("HalfStorage", "f2"),
        ("LongStorage", "i8"),
        ("IntStorage", "i4"),
        ("ShortStorage", "i2"),
        ("CharStorage", "i1"),
        ("ByteStorage", "u1"),
        ("BoolStorage", "?"),
        ("ComplexFloatStorage", "c8"),
    ],
)
def test_types_of_storages(tmp_path, kind, dtype):
    want = np.array([0, 1, 1], dtype)
    data = tensor((3,), (1,), held=storage(kind, count=3)) + b"."
    found = read(tmp_path, data, [want.tobytes()])
    assert found.dtype == want.dtype
    np.testing.assert_array_equal(found, want)


def test_types_without_a_storage_of_their_own(tmp_path):
    held = storage("UntypedStorage", count=6, module="torch.storage")
    data = b"ctorch._utils\n_rebuild_tensor_v3\n(" + held + b"I1\n(I2\nt(I1\nt"
    data += b"I00\n(dctorch\n%s\ntR."
    found = read(tmp_path, data % b"uint16", [np.arange(3, dtype="u2").tobytes()])
    np.testing.assert_array_equal(found, np.array([1, 2], "u2"))
    refused(tmp_path, data % b"quint8", "type torch.quint8", [b"\0" * 6])


@pytest.mark.parametrize(
    "data",
    [
        tensor((7,), (1,)),
        tensor((2, 3), (4, 1)),
        tensor((2,), (1,), 5),
        tensor((2,), (1,), -1),
        tensor((-2,), (1,)),
        tensor((2,), (-1,), 3),
        tensor((2, 2), (1,)),
        tensor((1 << 40,), (0,)),
        tensor((3,), (1 << 62,)),
    ],
)
def test_views_outside_of_their_storage_are_refused(tmp_path, data):
    refused(tmp_path, data + b".", "tensor of shape")


def test_storages_that_disagree(tmp_path):
    refused(tmp_path, tensor((1,), (1,)) + b".", "6 items float32 in 5", [b"12345"])
    refused(tmp_path, tensor((1,), (1,)) + b".", "damaged", [])
    quantised = tensor((1,), (1,), held=storage("QInt8Storage"))
    refused(tmp_path, quantised + b".", r"kind torch\.QInt8Storage")
    elsewhere = tensor((1,), (1,), held=storage(module="evil"))
    refused(tmp_path, elsewhere + b".", r"kind evil\.FloatStorage")
    refused(tmp_path, storage(name="../data.pkl") + b".", "damaged")
    refused(tmp_path, b"Vname\nQ.", "damaged|not known")
    refused(tmp_path, b"ctorch._utils\n_rebuild_tensor_v2\n(I1\nI0\n()t)tR.", "damaged")
    flagged = tensor((1,), (1,))[:-2] + b"(dVconj\nI01\nstR."
    refused(tmp_path, flagged, "conjugated")


def test_a_view_is_no_storage(tmp_path):
    repeated = tensor((6,), (0,), 5)
    assert read(tmp_path, repeated + b".").tolist() == [5.0] * 6
    refused(tmp_path, tensor((6,), (1,), held=repeated) + b".", "damaged")


def test_compressed_and_overlapping_archives_are_refused(tmp_path):
    zeros, data = bytes(1 << 20), storage("ByteStorage", count=1 << 20) + b"."
    packed = {"storages": [zeros], "packing": zipfile.ZIP_DEFLATED}
    refused(tmp_path, data, "data.pkl is compressed", **packed)
    whole = archive(data, [zeros[:3000], zeros[:2999]])
    # The second entry of the directory points at the first one's bytes, and lies.
    path = tmp_path / "made.pt"
    entry = whole.rindex(b"PK\x01\x02")
    forged = bytearray(whole)
    forged[entry + 20 : entry + 28] = struct.pack("<II", 1 << 30, 1 << 30)
    path.write_bytes(forged)
    with pytest.raises(InputError, match="it unpacks to 1,073"):
        torch_file.read(path)


def test_archives_of_other_kinds(tmp_path):
    more = {"constants.pkl": b"."}
    refused(tmp_path, b"}.", "TorchScript", more=more)
    refused(tmp_path, b"}.", "big-endian", more={"byteorder": b"big"})
    refused(tmp_path, b"}.", "2 entries data.pkl", more={"inner/data.pkl": b"}."})
    other = tmp_path / "made.zip"
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("photo.jpg", b"")
    with pytest.raises(InputError, match="no PyTorch checkpoint"):
        torch_file.read(other)


def test_a_file_that_calls_something_is_refused_with_the_remedy(tmp_path):
    made = tmp_path / "made"
    call = b"cos\nmkdir\n(V%s\ntR" % str(made).encode()
    weights = b"(dVstate_dict\n(dVw\n" + tensor((2,), (1,)) + b"ss"
    assert list(read(tmp_path, weights + b".")) == ["state_dict"]
    refused(tmp_path, weights + b"Vextra\n" + call + b"s.", r"os\.mkdir.*torch\.save\(")
    config = b"comegaconf.dictconfig\nDictConfig\n)\x81}b"
    refused(tmp_path, weights + b"Vcfg\n" + config + b"s.", r"calls omegaconf\S+Config")
    by_type = b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nmkdir\ncos\nmkdir\n"
    refused(tmp_path, by_type + b"(V%s\nt(dtR." % str(made).encode(), r"by os\.mkdir")
    assert not made.exists()


def test_code_in_the_older_format_is_refused(tmp_path):
    made, path = tmp_path / "made", tmp_path / "old.pt"
    facts = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    start = b"".join(pickle.dumps(fact, 2) for fact in facts)
    names = pickle.dumps([], 2)
    path.write_bytes(start + pickle.dumps({"number": 1}, 2) + names)
    assert torch_file.read(path) == {"number": 1}
    call = b"cos\nmkdir\n(V%s\ntR." % str(made).encode()
    path.write_bytes(start + call + names)
    with pytest.raises(InputError, match=r"old\.pt.*calls os\.mkdir.*torch\.save"):
        torch_file.read(path)
    assert not made.exists()


def test_wanted_tensors_must_be_plain():
    named = {"w": FLOATS, "count": 3}
    assert list(torch_file.state_dict({"model": named})) == ["w"]
    assert list(torch_file.state_dict(named)) == ["w"]
    tree = {"model": {**named, "hook": torch_file.pickles.Placeholder("os", "system")}}
    with pytest.raises(InputError, match=r"c\.pt: its entry 'hook' is os\.system"):
        torch_file.state_dict(tree, where="c.pt")
    for empty in ({}, {"epoch": 1}, [1], {"model": {"w": 1}}):
        with pytest.raises(InputError, match="no tensors by name"):
            torch_file.state_dict(empty)


def test_files_that_are_no_checkpoints(tmp_path):
    for content, match in ((b"", "empty"), (b"<html>", "no known format")):
        path = tmp_path / "weights.pt"
        path.write_bytes(content)
        with pytest.raises(InputError, match=match):
            read_tensors(path)
        with pytest.raises(InputError, match=r"weights\.pt is no PyTorch"):
            torch_file.read(path)
    for reader in (read_tensors, torch_file.read):
        with pytest.raises(InputError, match=r"missing\.pt"):
            reader(tmp_path / "missing.pt")


def test_an_npz_of_weights(tmp_path):
    path = tmp_path / "weights.ckpt"
    with path.open("wb") as file:
        np.savez(file, w=FLOATS)
    np.testing.assert_array_equal(read_tensors(path)["w"], FLOATS)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.sampled_from([(GOLDEN / f"checkpoint_basic.{e}") for e in FORMATS]).flatmap(
        lambda path: mutations(path.read_bytes())
    )
)
def test_any_damage_to_a_checkpoint_reads_or_is_refused(tmp_path, data):
    path = tmp_path / "damaged"
    path.write_bytes(data)
    survives(lambda: read_tensors(path))


def parts(ending: str) -> tuple[bytes, list[bytes]]:
    """The pickle and the storages of a checkpoint."""
    with zipfile.ZipFile(GOLDEN / f"checkpoint_basic.{ending}") as file:
        root = "checkpoint_basic/data"
        count = sum(name.startswith(f"{root}/") for name in file.namelist())
        storages = [file.read(f"{root}/{number}") for number in range(count)]
        return file.read(f"{root}.pkl"), storages


@pytest.mark.parametrize("ending", ["pt", "ckpt"])
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(choice=st.data())
def test_damage_behind_the_checksums_reads_or_is_refused(tmp_path, ending, choice):
    data, storages = parts(ending)
    path = tmp_path / "damaged"
    archive(data, storages, path)
    assert read_tensors(path)
    archive(choice.draw(mutations(data)), storages, path)
    survives(lambda: read_tensors(path))
