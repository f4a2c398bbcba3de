"""Figures that presets are held to; nowhere else does the package say them."""

import dataclasses

from jaxdd.records import Expected, Preset

__all__ = ["measured", "unrecorded", "with_figures"]


def measured(
    result: str, value: float, metric: str = "accuracy", note: str = ""
) -> Expected:
    """A figure of experiments/results/RESULT.json, which a test compares."""
    return Expected(metric, value, "measured here", "reproduced", result, note)


def unrecorded(
    value: float, metric: str = "accuracy", source: str = "three sets"
) -> Expected:
    """A figure that was measured here and of which no file is kept."""
    return Expected(metric, value, f"measured here, {source}, no file", "prototype")


def with_figures(
    presets: dict[str, Preset], **figures: tuple[Expected, ...]
) -> dict[str, Preset]:
    """The presets, those named with figures beside the ones they have."""
    return presets | {
        name: dataclasses.replace(
            presets[name], expected=presets[name].expected + added
        )
        for name, added in figures.items()
    }
