"""Damaged files for the readers' property tests."""

import contextlib
from collections.abc import Callable

from hypothesis import strategies as st

from jaxdd.errors import InputError


@st.composite
def mutations(draw, data: bytes) -> bytes:
    """The file cut short, with bits flipped, or with bytes put in or taken out."""
    damaged = bytearray(data)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(damaged) - 1, 0)))
        how = draw(st.sampled_from(["cut", "flip", "insert", "remove"]))
        if how == "cut":
            del damaged[at:]
        elif how == "flip" and damaged:
            damaged[at] ^= 1 << draw(st.integers(0, 7))
        elif how == "insert":
            damaged[at:at] = draw(st.binary(min_size=1, max_size=8))
        else:
            del damaged[at : at + draw(st.integers(1, 8))]
    return bytes(damaged)


def survives(read: Callable[[], object]) -> None:
    """The reader returns, or raises the one error that users see."""
    with contextlib.suppress(InputError):
        read()
