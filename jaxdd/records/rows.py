"""What was measured: one figure of one set, over the seeds."""

from dataclasses import dataclass

__all__ = ["Row"]


@dataclass(frozen=True)
class Row:
    """A figure of a report, `to_dict` of which stands in report.json and meta.json.

    Attributes:
      set: a method's name, random, kmeans, class_mean, full or scratch.
      metric: such as accuracy.
      mean, std: over the seeds; std is that of the population.
      seeds: how many.
      network: of the students; "krr " and the kernel where none was trained.
      protocol: its name.
      values: one a seed.
      seed_list: the seeds, in that order.
    """

    set: str
    metric: str
    mean: float
    std: float = 0.0
    seeds: int = 1
    network: str = ""
    protocol: str = ""
    values: tuple[float, ...] = ()
    seed_list: tuple[int, ...] = ()
