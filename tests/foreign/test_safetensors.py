"""The safetensors format, and headers that lie."""

import json
import struct
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdd.errors import InputError
from jaxdd.foreign import read_tensors, safetensors
from tests.foreign.cases import mutations, survives

GOLDEN = (
    Path(__file__).parents[1] / "networks" / "golden" / "checkpoint_basic.safetensors"
)


def packed(header, body=b"") -> bytes:
    """A file of this header, an object or JSON's text."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


def entry(kind="F32", shape=(2,), offsets=(0, 8)) -> dict:
    return {"dtype": kind, "shape": list(shape), "data_offsets": list(offsets)}


def test_arrays_of_every_kind(tmp_path):
    header = {
        "__metadata__": {"format": "pt"},
        "floats": entry(),
        "halves": entry("BF16", (2, 1), (8, 12)),
        "scalar": entry("I64", (), (12, 20)),
        "none": entry("U8", (0, 3), (20, 20)),
        "flags": entry("BOOL", (2,), (20, 22)),
    }
    body = np.array([1, 2], "f4").tobytes() + np.array([3, 4], jnp.bfloat16).tobytes()
    path = tmp_path / "weights.bin"
    path.write_bytes(packed(header, body + struct.pack("<q", -7) + b"\1\0"))
    found = read_tensors(path)
    assert [a.tolist() for a in found.values()] == [
        [1, 2],
        [[3], [4]],
        -7,
        [],
        [True, False],
    ]
    assert [a.dtype.name for a in found.values()] == [
        "float32",
        "bfloat16",
        "int64",
        "uint8",
        "bool",
    ]
    assert found["none"].shape == (0, 3)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "cut short"),
        (struct.pack("<Q", 1 << 60) + b"{}", "cut short"),
        (packed(b"{"), "may be damaged"),
        (packed(b"[]"), "may be damaged"),
        (packed(b'"text"'), "may be damaged"),
        (packed(b"[" * 100_000), "may be damaged"),
        (packed({"a": 1}), "may be damaged"),
        (packed({"a": {}}), "may be damaged"),
        (packed({"a": entry(offsets=(0, "8"))}, bytes(8)), "may be damaged|follow"),
        (packed({"a": entry(offsets=(0, 8, 8))}, bytes(8)), "may be damaged"),
        (packed(b'{"a": 1, "a": 1}'), "stands in it twice"),
        (packed({"a": entry()}, bytes(7)), "take 8 bytes and 7"),
        (packed({"a": entry()}, bytes(9)), "take 8 bytes and 9"),
        (packed({"a": entry(shape=(3,))}, bytes(8)), "does not fit into its 8"),
        (packed({"a": entry(shape=(-1, -2))}, bytes(8)), "does not fit into its 8"),
        (packed({"a": entry(shape=(2.0,))}, bytes(8)), "does not fit into its 8"),
        (packed({"a": entry("F33")}, bytes(8)), "type 'F33'"),
        (packed({"a": entry(), "b": entry()}, bytes(16)), "overlap"),
        (packed({"a": entry(offsets=(8, 16))}, bytes(16)), "gaps"),
        (packed({"a": entry(offsets=(0, -8))}, bytes(8)), "follow"),
    ],
)
def test_headers_that_lie(data, match):
    with pytest.raises(InputError, match=match) as caught:
        safetensors.parse(data, "weights.safetensors")
    assert str(caught.value).startswith("weights.safetensors: ")


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none\.safetensors cannot be read"):
        safetensors.read(tmp_path / "none.safetensors")


@settings(max_examples=200, deadline=None)
@given(mutations(GOLDEN.read_bytes()))
def test_any_damage_to_safetensors_reads_or_is_refused(data):
    survives(lambda: safetensors.parse(data))


@settings(max_examples=100, deadline=None)
@given(st.recursive(st.integers() | st.text() | st.none(), lambda s: st.lists(s)))
def test_any_json_as_header(value):
    survives(lambda: safetensors.parse(packed({"a": value})))
    survives(lambda: safetensors.parse(packed(value)))
