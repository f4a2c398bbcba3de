"""What a compiled program sends between devices, read from its text.

Bytes are those of each collective's result on one device, the measure by which an
all-reduce of the parameters weighs as much as the parameters.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

__all__ = ["COLLECTIVES", "communicated"]

COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "collective-permute",
    "all-to-all",
)

# `%name = f32[3,4]{1,0} all-reduce(...)`, or a tuple of shapes; the asynchronous forms
# end in -start and -done, of which the second one holds the result only.
_CALL = re.compile(
    rf"= (?P<result>.+?) (?P<kind>{'|'.join(COLLECTIVES)})(?P<half>-start|-done)?\("
)
_SHAPE = re.compile(r"\b(pred|bf16|[suf]\d+\w*|c64|c128)\[([\d,]*)\]")
_BITS = {"pred": 8, "c64": 64, "c128": 128}


def communicated(compiled: Any) -> dict[str, int]:
    """Bytes that each kind of collective leaves on one device.

    An operation inside a loop counts once, so the program of a loop over steps gives
    the bytes of one step and of what surrounds the loop.

    Args:
      compiled: a compiled program, or the text of its HLO.

    Returns:
      Bytes by the name of each collective; 0 where the program has none.
    """
    text = compiled if isinstance(compiled, str) else compiled.as_text()
    total: dict[str, int] = {name: 0 for name in COLLECTIVES}
    for call in _CALL.finditer(text):
        if call["half"] != "-start":
            total[call["kind"]] += _bytes(call["result"])
    return total


def _bytes(shapes: str) -> int:
    """Bytes of all arrays in a shape of HLO, tuples included."""
    total = 0
    for kind, sizes in _SHAPE.findall(shapes):
        count = int(np.prod([int(n) for n in sizes.split(",") if n], dtype=np.int64))
        total += -(-count * _bits(kind) // 8)
    return total


def _bits(kind: str) -> int:
    """Bits of an HLO number type: f32, bf16, s8, f8e4m3fn ..."""
    named = re.match(r"[a-z]+(\d+)", kind)
    return _BITS.get(kind) or int(named[1] if named else 8)
