"""Reads pickles without executing anything.

`pickle.Unpickler` imports and calls inside C code, and every guard is a hole to close.
Here a small interpreter runs the opcodes of protocols 0 to 5 on plain containers; a
global is only its name, and what may be called is a table of checked functions.
"""

import io
import pickletools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from jaxdd.errors import InputError
from jaxdd.foreign.numpy_state import numpy_globals, set_state
from jaxdd.foreign.plain import PLAIN, Placeholder, exactly, frozenset_of, key

__all__ = ["CodeRefused", "Placeholder", "load", "load_next", "numpy_globals"]

Allowed = Mapping[tuple[str, str], Callable[..., Any]]

_OPCODES = {opcode.code: opcode for opcode in pickletools.opcodes}
_NOTHING: Allowed = MappingProxyType({})
_MOST_STEPS = 20_000_000  # an opcode of one byte may take a hundred bytes of memory
_ARGUMENT = {
    *("INT", "LONG", "LONG1", "LONG4", "BININT", "BININT1", "BININT2"),
    *("FLOAT", "BINFLOAT", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
}
_CONSTANT = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class CodeRefused(InputError):
    """A pickle that calls something which data has no need of."""


class _Outside(NamedTuple):
    """What the caller of the reader decides."""

    allowed: Allowed
    persistent: Callable[[Any], Any] | None
    encoding: str


def load(
    data: bytes,
    *,
    allowed: Allowed = _NOTHING,
    persistent: Callable[[Any], Any] | None = None,
    where: str = "",
    encoding: str = "ASCII",
) -> Any:
    """Reads one pickle.

    Args:
      data: the whole pickle.
      allowed: functions by (module, name) that stand for the globals a file may call.
        They get arguments from the file, so they check them.
      persistent: called with each persistent id; None refuses them.
      where: the file's name, for messages.
      encoding: of strings that Python 2 wrote; "bytes" keeps them as bytes.

    Returns:
      Numbers, text, bytes, None, lists, tuples, dicts and sets of these, and what the
      table made. A global that was named and never called is a `Placeholder`.

    Raises:
      InputError: a damaged pickle, or one with something after its end.
      CodeRefused: one that calls a global outside the table; nothing was called.
    """
    value, end = load_next(
        data, allowed=allowed, persistent=persistent, where=where, encoding=encoding
    )
    if end != len(data):
        raise InputError(
            f"{where or 'pickle'}: {len(data) - end} bytes follow its end; the file "
            "is damaged"
        )
    return value


def load_next(
    data: bytes,
    start: int = 0,
    *,
    allowed: Allowed = _NOTHING,
    persistent: Callable[[Any], Any] | None = None,
    where: str = "",
    encoding: str = "ASCII",
) -> tuple[Any, int]:
    """Reads the pickle that begins at `start`; see `load`.

    Returns:
      The value, and where the pickle ends.
    """
    stream = io.BytesIO(data)
    stream.seek(start)
    outside = _Outside({**PLAIN, **allowed}, persistent, encoding)
    try:
        return _Reader(stream, outside).run(), stream.tell()
    except InputError as error:
        raise type(error)(f"{where or 'pickle'}: {error}") from error
    except Exception as error:  # whatever damage makes an opcode or a function raise
        raise InputError(
            f"{where or 'pickle'}: not a whole pickle, it may be damaged "
            f"({type(error).__name__}: {str(error)[:200]})"
        ) from error


class _Reader:
    """The stack machine; a method for each opcode that is more than a push."""

    def __init__(self, stream: io.BytesIO, outside: _Outside):
        self.stream = stream
        self.outside = outside
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value on top of the stack at the end."""
        for _ in range(_MOST_STEPS):
            code = self.stream.read(1)
            if not code:
                raise EOFError("it ends too early")
            opcode = _OPCODES[code.decode("latin-1")]
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            self._step(name, self._argument(opcode))
        raise InputError(f"more than {_MOST_STEPS:,} steps; this is no file of data")

    def _argument(self, opcode: pickletools.OpcodeInfo) -> Any:
        if opcode.name == "STRING":  # pickletools takes ASCII only
            return _unquoted(self.stream.readline())
        return opcode.arg.reader(self.stream) if opcode.arg else None

    def _step(self, name: str, argument: Any) -> None:
        push = self.stack.append
        if name in _ARGUMENT:
            push(argument)
        elif name in _CONSTANT:
            push(_CONSTANT[name])
        elif name in _EMPTY:
            push(_EMPTY[name]())
        elif name in _TUPLES:
            push(tuple(self._take(_TUPLES[name])))
        elif name in _METHODS:
            _METHODS[name](self, argument)
        else:
            raise InputError(f"it uses the opcode {name}, which files of data never do")

    def _take(self, count: int) -> list[Any]:
        """The last `count` values, removed."""
        if len(self.stack) < count:
            raise IndexError("values are missing")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def _since_mark(self) -> list[Any]:
        values, self.stack = self.stack, self.below.pop()
        return values

    def _since_mark_as(self, kind: Callable[[list[Any]], Any]) -> None:
        values = self._since_mark()  # first: it changes the stack
        self.stack.append(kind(values))

    def _mark(self, _: Any) -> None:
        self.below.append(self.stack)
        self.stack = []

    def _pop(self, _: Any) -> None:
        self.stack.pop() if self.stack else self._since_mark()

    def _pop_mark(self, _: Any) -> None:
        self._since_mark()

    def _duplicate(self, _: Any) -> None:
        self.stack.append(self.stack[-1])

    def _string(self, text: str) -> None:
        """A byte string of Python 2, held here as Latin-1 text."""
        data, encoding = text.encode("latin-1"), self.outside.encoding
        self.stack.append(data if encoding == "bytes" else data.decode(encoding))

    def _list(self, _: Any) -> None:
        self._since_mark_as(list)

    def _tuple(self, _: Any) -> None:
        self._since_mark_as(tuple)

    def _dict(self, _: Any) -> None:
        values = self._since_mark()
        self.stack.append({})
        self._set(values)

    def _frozen(self, _: Any) -> None:
        self._since_mark_as(frozenset_of)

    def _append(self, _: Any) -> None:
        self._extend(self._take(1))

    def _appends(self, _: Any) -> None:
        self._extend(self._since_mark())

    def _extend(self, values: list[Any]) -> None:
        exactly(self.stack[-1], list).extend(values)

    def _add(self, _: Any) -> None:
        values = self._since_mark()
        exactly(self.stack[-1], set).update(map(key, values))

    def _set_item(self, _: Any) -> None:
        self._set(self._take(2))

    def _set_items(self, _: Any) -> None:
        self._set(self._since_mark())

    def _set(self, values: list[Any]) -> None:
        target = exactly(self.stack[-1], dict)
        for name, value in zip(values[::2], values[1::2], strict=True):
            target[key(name)] = value

    def _put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    def _memoize(self, _: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    def _protocol(self, version: int) -> None:
        if version > 5:
            raise InputError(f"protocol {version} is not known; 0 to 5 are")

    def _frame(self, _: Any) -> None:
        """Frames only help a reader that streams."""

    def _global(self, names: str) -> None:
        module, _, name = names.partition(" ")
        self.stack.append(Placeholder(module, name))

    def _stack_global(self, _: Any) -> None:
        module, name = self._take(2)
        self.stack.append(Placeholder(exactly(module, str), exactly(name, str)))

    def _persistent_text(self, identity: str) -> None:
        self._persist(identity)

    def _persistent(self, _: Any) -> None:
        self._persist(self.stack.pop())

    def _persist(self, identity: Any) -> None:
        if self.outside.persistent is None:
            raise InputError("it refers to data outside of it (a persistent id)")
        self.stack.append(self.outside.persistent(identity))

    def _reduce(self, _: Any) -> None:
        function, arguments = self._take(2)
        self._call(function, arguments)

    def _new_with_names(self, _: Any) -> None:
        function, arguments, named = self._take(3)
        if named != {}:
            raise InputError(f"it makes a {_named(function)} from named arguments")
        self._call(function, arguments)

    def _instance(self, names: str) -> None:
        arguments = self._since_mark()
        module, _, name = names.partition(" ")
        self._call(Placeholder(module, name), tuple(arguments))

    def _object(self, _: Any) -> None:
        function, *arguments = self._since_mark()
        self._call(function, tuple(arguments))

    def _call(self, function: Any, arguments: Any) -> None:
        """Calls the table's function for a global, and nothing else."""
        named = isinstance(function, Placeholder)
        known = (function.module, function.name) if named else None
        if known is None or known not in self.outside.allowed:
            raise CodeRefused(
                f"it contains code: it calls {_named(function)}, which is not done. "
                "Save plain arrays, numbers and containers instead"
            )
        made = self.outside.allowed[known](*exactly(arguments, tuple))
        self.stack.append(made)

    def _build(self, _: Any) -> None:
        """Sets an object's state; attributes of a dict are left out."""
        state = self.stack.pop()
        target = self.stack[-1]
        if type(target) is not dict and not set_state(target, state):
            raise CodeRefused(
                f"it contains code: it sets the state of a {_named(target)}, which is "
                "not done. Save plain arrays, numbers and containers instead"
            )


_METHODS: dict[str, Callable[[_Reader, Any], None]] = {
    "MARK": _Reader._mark,
    "POP": _Reader._pop,
    "POP_MARK": _Reader._pop_mark,
    "DUP": _Reader._duplicate,
    "STRING": _Reader._string,
    "BINSTRING": _Reader._string,
    "SHORT_BINSTRING": _Reader._string,
    "LIST": _Reader._list,
    "TUPLE": _Reader._tuple,
    "DICT": _Reader._dict,
    "FROZENSET": _Reader._frozen,
    "APPEND": _Reader._append,
    "APPENDS": _Reader._appends,
    "ADDITEMS": _Reader._add,
    "SETITEM": _Reader._set_item,
    "SETITEMS": _Reader._set_items,
    "PUT": _Reader._put,
    "BINPUT": _Reader._put,
    "LONG_BINPUT": _Reader._put,
    "MEMOIZE": _Reader._memoize,
    "GET": _Reader._get,
    "BINGET": _Reader._get,
    "LONG_BINGET": _Reader._get,
    "PROTO": _Reader._protocol,
    "FRAME": _Reader._frame,
    "GLOBAL": _Reader._global,
    "STACK_GLOBAL": _Reader._stack_global,
    "PERSID": _Reader._persistent_text,
    "BINPERSID": _Reader._persistent,
    "REDUCE": _Reader._reduce,
    "NEWOBJ": _Reader._reduce,
    "NEWOBJ_EX": _Reader._new_with_names,
    "INST": _Reader._instance,
    "OBJ": _Reader._object,
    "BUILD": _Reader._build,
}


def _named(value: Any) -> str:
    return str(value) if isinstance(value, Placeholder) else type(value).__name__


def _unquoted(line: bytes) -> str:
    """A quoted line of protocol 0, as Latin-1 text."""
    text = line.strip()
    if len(text) < 2 or text[:1] not in b"'\"" or text[:1] != text[-1:]:
        raise ValueError("a string without its quotes")
    return text[1:-1].decode("unicode_escape")
