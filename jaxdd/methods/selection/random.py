"""Random real images: the control that every distilled set must beat.

Distinct training images drawn uniformly, class-balanced where there are labels; each
keeps its label.

Objective: none; the selection is one draw.

Reference: the baseline of every paper of the field.

Parts: subset, no objective, no network.

Differences from the paper: none.

Differences from the authors' code: none.

Expected: below every distillation method under the same protocol.
"""

from dataclasses import dataclass

from jaxdd.base import Assets, Corpus, Distiller, Key, Method, Parts, Synthetic, Task
from jaxdd.composition import one_shot
from jaxdd.select import random_rows, subset

__all__ = ["METHOD", "RandomConfig", "random"]


@dataclass(frozen=True)
class RandomConfig:
    """The random subset has no settings."""


def random(task: Task, config: RandomConfig = RandomConfig()) -> Distiller:
    """A random subset of m images, or of `ipc` images of every class."""
    del config

    def make(key: Key, corpus: Corpus, assets: Assets) -> Synthetic:
        del assets
        return subset(corpus, random_rows(key, corpus, task.size, task.ipc))

    return one_shot(make)


METHOD = Method(
    build=random,
    config=RandomConfig,
    parts=Parts("subset", "none", "none", "none", "none"),
    one_shot=True,
)
