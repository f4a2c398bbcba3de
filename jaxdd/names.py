"""What to say about a name that is not known."""

import difflib
from collections.abc import Iterable

__all__ = ["nearest"]


def nearest(name: object, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """A question that names the most similar known one, or nothing.

    Args:
      name: what was given.
      known: what could have been.
      cutoff: least similarity, in [0, 1].

    Returns:
      " Did you mean 'x'?", with the space in front, or "".
    """
    near = difflib.get_close_matches(str(name), list(known), n=1, cutoff=cutoff)
    return f" Did you mean {near[0]!r}?" if near else ""
