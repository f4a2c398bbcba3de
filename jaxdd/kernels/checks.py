"""What a compiled program cannot raise, checked where its results are read."""

import numpy as np

from jaxdd.base import Array
from jaxdd.errors import InputError

__all__ = ["check_finite"]


def check_finite(value: Array, name: str) -> None:
    """Raises where a kernel holds a NaN or an infinity.

    For the host: it waits for the kernel and reads all of it.

    Args:
      value: kernel [n,m], or predictions.
      name: of the kernel, for the message.

    Raises:
      InputError: naming the kernel, how many entries are not finite, and the first.
    """
    entries = np.asarray(value)
    bad = np.argwhere(~np.isfinite(entries))
    if not len(bad):
        return
    first = tuple(int(index) for index in bad[0])
    raise InputError(
        f"kernel {name}: {len(bad):,} of {entries.size:,} entries are not finite, the"
        f" first is {entries[first]} at {list(first)}. Check that the images of that"
        " row and column are finite and whitened; a smaller weight_std or a body in"
        " float32 keeps large ones from overflowing"
    )
