"""Pickles of data read as `pickle` reads them; pickles of code run nothing."""

import os
import pickle
import struct
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdd.errors import InputError
from jaxdd.foreign import pickles
from tests.foreign.cases import mutations, survives

PROTOCOLS = range(6)
ARRAYS = pickles.numpy_globals()
DATA = {
    "numbers": [1, -3, 2**70, 2.5, True, None, 1 + 2j, 300, 70_000],
    "text": ["tüxt", "", b"\xff\x00", "x" * 300, b"y" * 70_000],
    "containers": [(), (1,), (1, 2), (1, 2, 3, 4), {1, 2}, frozenset([3]), {}, []],
}
# What Python 2 and its NumPy wrote: {'data': uint8 [2,3], 'labels': [6, 9], 'é': 1}.
PYTHON_2 = (
    b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\n"
    b"ndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x06"
    b"U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00"
    b"tb\x89U\x06\x00\x01\x02\xfd\xfe\xfftbU\x06labels]q\x08(K\x06K\x09eU\x01\xe9K\x01u."
)


def equal(read, wanted):
    """The same numbers in the same type and layout."""
    assert type(read) is type(wanted)
    assert (read.dtype, read.shape) == (wanted.dtype, wanted.shape)
    assert read.flags.f_contiguous == wanted.flags.f_contiguous
    np.testing.assert_array_equal(read, wanted)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_plain_data_reads_as_pickle_reads_it(protocol):
    data = pickle.dumps([DATA, DATA["text"]], protocol)
    read = pickles.load(data)
    assert read == pickle.loads(data)
    assert read[0]["text"] is read[1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", ["bool", "i1", "u1", ">i4", "f8", "f2", ">c8", "u8"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (700, 2)])
def test_arrays_read_as_pickle_reads_them(protocol, kind, shape):
    numbers = np.random.default_rng(0).uniform(0, 100, shape)
    for order in "CF":
        array = np.asarray(numbers, order=order).astype(kind)
        data = pickle.dumps([array, array], protocol)
        read, wanted = pickles.load(data, allowed=ARRAYS), pickle.loads(data)
        equal(read[0], wanted[0])
        assert read[0] is read[1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_numpy_scalars(protocol):
    values = [np.float32(1.5), np.int64(-3), np.bool_(True)]
    read = pickles.load(pickle.dumps(values, protocol), allowed=ARRAYS)
    assert read == values
    assert [type(v) for v in read] == [type(v) for v in values]


@pytest.mark.parametrize("encoding", ["latin1", "bytes"])
def test_a_file_of_python_2(encoding):
    read = pickles.load(PYTHON_2, allowed=ARRAYS, encoding=encoding)
    wanted = pickle.loads(PYTHON_2, encoding=encoding)
    assert list(read) == list(wanted)
    for name, value in wanted.items():
        np.testing.assert_array_equal(read[name], value)


def test_text_of_python_2_needs_an_encoding():
    with pytest.raises(InputError, match=r"batch_1: .*UnicodeDecodeError"):
        pickles.load(PYTHON_2, allowed=ARRAYS, where="batch_1")


def test_quoted_strings_of_protocol_0():
    assert pickles.load(b"S'a\\x00\\n\"'\n.") == 'a\x00\n"'
    for damaged in (b"S'a\n.", b"S\n.", b"Sa\n."):
        with pytest.raises(InputError, match="damaged"):
            pickles.load(damaged)


def test_objects_that_hold_themselves():
    loop: list = []
    loop.append({"loop": loop})
    read = pickles.load(pickle.dumps(loop))
    assert read[0]["loop"] is read


def test_a_global_that_is_not_called_is_only_its_name():
    data = pickle.dumps({"class": os.system, "number": 1}, 2)
    read = pickles.load(data)
    assert read["number"] == 1
    assert str(read["class"]) == f"{os.system.__module__}.system"
    assert not callable(read["class"])


def test_allowed_globals_are_called_with_the_arguments_of_the_file():
    data = pickle.dumps(range(1, 7, 2), 2)
    with pytest.raises(InputError, match=r"calls __builtin__\.xrange"):
        pickles.load(data)
    allowed = {("__builtin__", "xrange"): lambda *arguments: arguments}
    assert pickles.load(data, allowed=allowed) == (1, 7, 2)


def test_persistent_ids():
    data = b"\x80\x02(K\x01K\x02tQ."
    assert pickles.load(data, persistent=sum) == 3
    assert pickles.load(b"Pname\n.", persistent=str.upper) == "NAME"
    with pytest.raises(InputError, match="persistent id"):
        pickles.load(data)


def test_pickles_one_behind_the_other():
    data = pickle.dumps("one") + pickle.dumps("two")
    first, end = pickles.load_next(data)
    assert (first, *pickles.load_next(data, end)) == ("one", "two", len(data))
    with pytest.raises(InputError, match="bytes follow its end"):
        pickles.load(data)


# Code ----------------------------------------------------------------------------


class Calls:
    """Pickles as a call of `os.mkdir` of the given folder."""

    def __init__(self, folder, *more):
        self.reduced = (os.mkdir, (str(folder),), *more)

    def __reduce__(self):
        return self.reduced


class Slots(dict):
    def __reduce__(self):
        return (Slots, (), {"state": 1}, None, iter([("a", 1)]))


def hostile(folder):
    """Pickles that make `folder` when `pickle.loads` reads them."""
    path = str(folder).encode()
    call, text = b"cos\nmkdir\n", b"X" + struct.pack("<I", len(path)) + path
    yield from (pickle.dumps(Calls(folder), protocol) for protocol in PROTOCOLS)
    yield pickle.dumps({"wanted": [1.0], "also": [Calls(folder)]})
    yield b"(V" + path + b"\nios\nmkdir\n."  # INST
    yield b"(" + call + text + b"o."  # OBJ
    yield call + text + b"\x85R."  # REDUCE
    yield b"\x80\x04" + call + text + b"\x85}\x92."  # NEWOBJ_EX
    yield b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93" + text + b"\x85R."  # STACK_GLOBAL
    yield b"cbuiltins\nexec\nVimport os; os.mkdir(%r)\n\x85R." % str(folder).encode()
    yield b"cbuiltins\ngetattr\ncos\nsystem\nVmkdir\n\x86R" + text + b"\x85R."


def refused(data, match="contains code"):
    with pytest.raises(InputError, match=match) as caught:
        pickles.load(data, allowed=ARRAYS, where="file.pkl")
    assert str(caught.value).startswith("file.pkl: ")


def test_no_form_of_a_call_runs(tmp_path):
    folder = tmp_path / "made"
    for data in hostile(folder):
        refused(data)
        assert not folder.exists(), data


def test_the_hostile_cases_are_real(tmp_path):
    made = 0
    for number, data in enumerate(hostile(tmp_path / "made")):
        try:
            pickle.loads(data)
        except Exception:  # not every form is legal for a function
            assert number
        if (tmp_path / "made").exists():
            (tmp_path / "made").rmdir()
            made += 1
    assert made >= 10


def test_state_is_set_on_nothing_but_containers_and_arrays():
    refused(pickle.dumps(Slots()))
    refused(b"cos\nsystem\n}b.", "sets the state of a os.system")
    refused(b"(lK\x01b.", "sets the state of a list")
    assert pickles.load(b"}}V__class__\nK\x01sb.") == {}


def test_modules_are_not_imported():
    refused(b"cantigravity\nfly\n)R.", "calls antigravity.fly")
    assert pickles.load(b"cantigravity\nfly\n.").module == "antigravity"
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize("opcode", [b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\0\0\0"])
def test_extension_codes_are_refused(opcode):
    refused(b"\x80\x02" + opcode + b".", "opcode EXT")


@pytest.mark.parametrize(
    "data",
    [
        b"B\xff\xff\xff\xffabc.",  # lengths beyond the file
        b"\x8e" + b"\xff" * 8 + b"abc.",
        b"\x8e" + struct.pack("<Q", 1 << 40) + b".",
        b"\x96" + struct.pack("<Q", 1 << 40) + b".",
        b"\x8b\xff\xff\xff\x7f.",
        b"X\xff\xff\xff\xffabc.",
        b"T\xff\xff\xff\xffabc.",
        b"L" + b"9" * 100_000 + b"L\n.",
        b"q\x01.",  # a memo entry of nothing
        b"j\xff\xff\xff\xff.",
        b"0.",
        b"t.",
        b"e.",
        b".",
        b"",
        b"\x80\x09N.",
        b"cbuiltins\nbytes\nJ\xff\xff\xff\x7f\x85R.",
        b"cbuiltins\nbytearray\n\x8a\x05\0\0\0\0\x01\x85R.",
        b"}]K\x01s.",  # a list as a key
        b"\xff",
    ],
)
def test_damage_is_refused(data):
    refused(data, r"damaged|protocol 9|contains code")


def test_nested_tuples_as_a_key_do_not_hang():
    doubled = b"".join(b"q%c0h%ch%c\x86" % (i, i, i) for i in range(60))
    assert len(pickles.load(b")" + doubled + b".")) == 2
    refused(b"})" + doubled + b"K\x01s.", "tuple as a key")


def test_deep_nesting_does_not_overflow():
    read = pickles.load(b"]" * 100_000 + b"a" * 99_999 + b".")
    assert len(read) == 1


@pytest.mark.parametrize(
    "array",
    [
        np.array(["text"]),
        np.array([object()]),
        np.zeros(2, "datetime64[s]"),
        np.zeros(2, [("a", "f4")]),
        np.rec.array(np.zeros(2)),
    ],
    ids=["text", "objects", "dates", "records", "subclass"],
)
def test_arrays_of_other_things_are_refused(array):
    refused(pickle.dumps(array, 2), "only|contains code|damaged")


def array_pickle(shape, raw, code="f4", kind="numpy\nndarray"):
    """An array of protocol 0 and 1 opcodes whose parts need not agree."""
    return (
        f"cnumpy.core.multiarray\n_reconstruct\n(c{kind}\n(I0\ntVb\ntR(I1\n"
        f"{shape}cnumpy\ndtype\n(V{code}\nI0\nI1\ntR(I3\nV<\nNNNI-1\nI-1\nI0\ntbI00\n"
    ).encode() + (raw + b"tb.")


def test_arrays_whose_shape_and_bytes_disagree():
    four = b"C\x04abcd"
    fits = pickles.load(array_pickle("(I1\nt", four), allowed=ARRAYS)
    assert fits.shape == (1,)
    refused(array_pickle("(I2\nt", four), "4 bytes in place of 8")
    refused(array_pickle("(I-1\nt", four), "shape")
    refused(array_pickle("(I-1\nI-1\nt", four), "shape")
    refused(array_pickle("(F1.0\nt", four), "shape")
    refused(array_pickle("(L99999999999999999999L\nI0\nt", b"C\x00"), "damaged")
    refused(array_pickle("(I1\nt", b"(l"), "Python objects")
    refused(array_pickle("(I1\nt", four, "O8"), "plain numbers")
    refused(array_pickle("(I1\nt", four, kind="numpy\nmatrix"), "only plain NumPy")


SAMPLES = [pickle.dumps([DATA, np.eye(3), {"a": (1,)}], p) for p in PROTOCOLS]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(SAMPLES).flatmap(mutations))
def test_any_damage_reads_or_is_refused(data):
    survives(lambda: pickles.load(data, allowed=ARRAYS))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_read_or_are_refused(data):
    survives(lambda: pickles.load(data, allowed=ARRAYS))
