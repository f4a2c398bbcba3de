"""Prepares what a method needs before its first step: a teacher, or experts.

Results are kept under a hash of all settings and of the data, so that a second run
starts at once and runs of different settings never mix.
"""

from collections.abc import Callable
from pathlib import Path

from jaxdd.base import Dataset, Drive, ExpertsAsset, TeacherAsset
from jaxdd.prepare.cache import ALONE, Together
from jaxdd.prepare.expert_store import ExpertStore
from jaxdd.prepare.experts import check_epochs, open_store, prepare_experts
from jaxdd.prepare.ssl import Shard, whole
from jaxdd.prepare.teachers import prepare_teacher
from jaxdd.records import ExpertsNeed, Need
from jaxdd.training import scan_drive
from jaxdd.training.together import Group

__all__ = ["ExpertStore", "check_epochs", "open_store", "prepare"]

Announce = Callable[[str], None]


def prepare(
    need: Need,
    dataset: Dataset,
    *,
    drive: Drive = scan_drive,
    cache: Path | None = None,
    shard: Shard = whole,
    view_budget: int = 12_000_000_000,
    announce: Announce = lambda line: None,
    together: Together = ALONE,
    expert_budget: int = 4_000_000_000,
    group: Group = Group(),
) -> tuple[TeacherAsset | ExpertsAsset, dict[str, float]]:
    """Trains, imports, or finds in the cache, what a method asks for.

    Args:
      need: a teacher and the views over which its outputs are wanted, or experts.
      dataset: trains on the training split; the test split is only classified.
      drive: who runs the steps, as the stage `target` or stages `experts/...`.
      cache: folder of prepared assets, or None.
      shard: splits the rows of a step of a teacher over devices.
      view_budget: bytes that a teacher's table may take (`prepare_teacher`).
      announce: told what is done and what it takes.
      together: how several processes keep together, which all call this alike.
      expert_budget: bytes of trajectories that are put on the device
        (`prepare_experts`).
      group: how experts are trained together; one after another by default. The
        drive's arrays then lie where the group says.

    Returns:
      The asset, and the quality of its training.

    Raises:
      InputError: settings without meaning, a training that diverged, a file that does
        not fit, or a cache that cannot be written.
    """
    if isinstance(need, ExpertsNeed):
        return prepare_experts(
            need.experts,
            dataset,
            drive=drive,
            cache=cache,
            budget=expert_budget,
            group=group,
            announce=announce,
            together=together,
        )
    return prepare_teacher(
        need,
        dataset,
        drive=drive,
        cache=cache,
        shard=shard,
        view_budget=view_budget,
        announce=announce,
        together=together,
    )
