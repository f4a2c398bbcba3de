"""What the presets of the methods that unroll the training of networks share."""

from typing import Any

from jaxdd.presets.fitting import filled
from jaxdd.presets.fitting import plain as presets
from jaxdd.records import (
    Adam,
    Mlp,
)

__all__ = ["presets", "smoke"]


def smoke(config: type, **changes: Any) -> Any:
    """Settings that run in seconds on tiny images: three steps of a small MLP."""
    common = {
        "network": Mlp(width=(8,)),
        "inner_steps": 3,
        "batch": 24,
        "optimiser": Adam(0.03),
    }
    return filled(config, common, changes)
