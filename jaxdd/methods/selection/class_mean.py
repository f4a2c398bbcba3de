"""The mean image of every class: the strongest trivial set at one image per class.

Objective: minimise sum over images of ||x - mean of its class||^2, solved by the mean.

Reference: a control; at one image per class many distilled sets are close to it, so
every evaluation at ipc 1 reports it.

Parts: pixels, no network.

Differences from the paper: none.

Differences from the authors' code: none.

Expected: well above the random row at ipc 1 on aligned images such as digits.
"""

from dataclasses import dataclass

from jaxdd.base import Assets, Corpus, Distiller, Key, Method, Parts, Synthetic, Task
from jaxdd.composition import one_shot
from jaxdd.errors import InputError
from jaxdd.select import class_means

__all__ = ["METHOD", "ClassMeanConfig", "class_mean"]


@dataclass(frozen=True)
class ClassMeanConfig:
    """The class mean has no settings."""


def class_mean(task: Task, config: ClassMeanConfig = ClassMeanConfig()) -> Distiller:
    """One image per class, its mean.

    Raises:
      InputError: more or fewer than one image per class was asked for.
    """
    del config
    if task.ipc != 1:
        raise InputError(
            f"ipc={task.ipc}: class_mean makes exactly one image per class; use --ipc 1"
        )

    def make(key: Key, corpus: Corpus, assets: Assets) -> Synthetic:
        del key, assets
        return class_means(corpus)

    return one_shot(make)


METHOD = Method(
    build=class_mean,
    config=ClassMeanConfig,
    parts=Parts("pixels", "none", "none", "none", "none"),
    one_shot=True,
)
