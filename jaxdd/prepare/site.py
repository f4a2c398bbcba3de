"""Where something is prepared and who runs its steps, and what comes of it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from jaxdd.base import Drive
from jaxdd.data.feeds import Reader
from jaxdd.prepare.prepared_cache import Together
from jaxdd.prepare.ssl import Shard, whole
from jaxdd.training import scan_drive
from jaxdd.training.together import Group

__all__ = ["Prepared", "Site"]


class Site(NamedTuple):
    """Where something is prepared, and what runs there."""

    cache: Path | None = None
    """Folder of prepared assets; None keeps nothing."""
    say: Callable[[str], None] = lambda line: None
    """Told what is done and what it takes."""
    together: Together = Together()
    """How several processes keep together, which all prepare alike."""
    drive: Drive = scan_drive
    """Runs the steps of a teacher."""
    unsaved_drive: Drive = scan_drive
    """The same without checkpoints, for what keeps its own; its arrays lie where the
    group says."""
    shard: Shard = whole
    """Splits the rows of a step of a teacher over devices."""
    group: Callable[[int], Group] = lambda count: Group()
    """How so many networks are trained together; one after another by default."""
    view_budget: int = 12_000_000_000
    """Bytes that a teacher's table of outputs may take."""
    expert_budget: int = 4_000_000_000
    """Bytes of trajectories that are put on the device."""


class Prepared(NamedTuple):
    """What a need has become."""

    asset: Any
    quality: Mapping[str, float] = MappingProxyType({})  # of its training
    read: Reader | None = None  # reads what does not lie on the device
