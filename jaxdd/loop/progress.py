"""One progress bar for each stage, with the time left, on standard error."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jaxdd.data.source import Progress
from jaxdd.devices import agreement

__all__ = ["Bar", "data_bars", "progress_bar"]


class Bar:
    """A bar that moves once per chunk."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def compiled(self) -> None:
        """Restarts the clock, so that compilation does not count as slow steps."""
        self._bar.unpause()
        self._bar.set_postfix_str("")

    def advance(self, steps: int, metrics: dict[str, np.ndarray]) -> None:
        """Moves on, and shows the last loss, of students their mean."""
        if "loss" in metrics:
            loss = np.mean(metrics["loss"][-1])
            self._bar.set_postfix_str(f"loss {loss:.4g}", refresh=False)
        self._bar.update(steps)


@contextlib.contextmanager
def progress_bar(stage: str, first: int, total: int, shown: bool) -> Iterator[Bar]:
    """A bar for as long as the block runs.

    Args:
      stage: its label. A stage that is part of another ("evaluate/seed 0") clears its
        bar at the end.
      first: steps done before.
      total: steps in all.
      shown: False draws nothing, nor does any process but the first.
    """
    with _tqdm()(
        desc=stage,
        initial=first,
        total=total,
        unit="step",
        disable=not (shown and agreement.is_first()),
        leave="/" not in stage,
        dynamic_ncols=True,
    ) as bar:
        bar.set_postfix_str("compiling")
        yield Bar(bar)


def data_bars(shown: bool) -> Progress:
    """Bars for downloads and decoding; `shown` False draws nothing."""

    @contextlib.contextmanager
    def bar(what: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
        with _tqdm()(
            desc=what,
            total=total or None,
            unit=unit,
            unit_scale=unit == "B",
            disable=not (shown and agreement.is_first()),
            leave=False,
            dynamic_ncols=True,
        ) as drawn:
            yield drawn.update

    return bar


def _tqdm() -> Any:
    with warnings.catch_warnings():  # a notebook without widgets gets the text bar
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    return tqdm
