"""What a step of distillation consumes, as data; `jaxdd.data.feeds` samples it."""

from dataclasses import dataclass
from typing import Literal

from jaxdd.records.recipes import AugmentSpec, Views

__all__ = ["Feed", "Nothing", "PerClass", "Segments", "Uniform"]


@dataclass(frozen=True)
class Uniform:
    """`batch` rows drawn without replacement within each epoch (last partial dropped).

    A data set smaller than `batch` is used whole at every step. With `views`, each
    row gets an independent uniform view of the enumerable set, applied to the [0,1]
    pixels before whitening.
    """

    batch: int
    target: Literal["label", "teacher"] = "label"
    views: Views = Views()


@dataclass(frozen=True)
class PerClass:
    """`batch` distinct rows of every class, drawn anew at each step.

    Classes with fewer rows are padded; padding has weight 0. `augment` alters each
    row's [0,1] pixels, before whitening, with probability `share`.
    """

    batch: int
    augment: AugmentSpec = AugmentSpec()
    share: float = 1.0


@dataclass(frozen=True)
class Nothing:
    """The step consumes no data (one-shot methods)."""


@dataclass(frozen=True)
class Segments:
    """`meta_batch` pieces of experts' trajectories a step, in `Batch.extra`.

    Experts come in a new shuffled order every round. The piece starts at an epoch
    uniform in [first, last), its target is the snapshot `epochs` later, or with `every`
    each of the `epochs` snapshots up to it. `last` is reached from `ramp_from` on a
    line of `ramp_steps` steps, rounded down; 0 steps: it holds throughout.
    """

    epochs: int
    last: int
    first: int = 0
    ramp_from: int = 0
    ramp_steps: int = 0
    every: bool = False
    meta_batch: int = 1
    name: str = "experts"


Feed = Uniform | PerClass | Segments | Nothing
