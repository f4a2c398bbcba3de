"""Optimisers and their schedules (`jaxdd.training.optimisers.build`)."""

from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "AdaBelief",
    "Adam",
    "AdamW",
    "Constant",
    "Decay",
    "Lamb",
    "Lars",
    "Listed",
    "OptimiserSpec",
    "Schedule",
    "Sgd",
    "Steps",
    "Warmup",
]


@dataclass(frozen=True)
class Constant:
    """One learning rate throughout."""

    name: Literal["constant"] = field(default="constant", kw_only=True)


@dataclass(frozen=True)
class Decay:
    """The learning rate falls along a line or half a cosine."""

    name: Literal["linear", "cosine"] = "cosine"
    final: float = 0.0
    """Fraction of the learning rate at the end."""


@dataclass(frozen=True)
class Steps:
    """The learning rate falls at once, at a few places."""

    name: Literal["step"] = field(default="step", kw_only=True)
    boundaries: tuple[float, ...] = (0.5,)
    """Where, as fractions of the run, increasing."""
    factor: float = 0.1
    """What the learning rate is multiplied with at each of them."""
    restart: bool = False
    """Forget momentum and other averages there, as a new optimiser."""


@dataclass(frozen=True)
class Listed:
    """The learning rate of each step; beyond them the last one stays."""

    name: Literal["listed"] = field(default="listed", kw_only=True)
    rates: tuple[float, ...] = ()
    """In place of the optimiser's learning rate."""


Schedule = Constant | Decay | Steps | Listed


@dataclass(frozen=True)
class Warmup:
    """Steps on which the learning rate rises along a line, before its schedule."""

    steps: int = 0
    share: float = 0.0
    """How many they are as a fraction of the run, in place of `steps`."""
    start: float = 0.0
    """Learning rate at the first of them."""


@dataclass(frozen=True)
class Sgd:
    """Gradient descent with momentum."""

    name: Literal["sgd"] = field(default="sgd", kw_only=True)
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    """Coupled L2, added before momentum."""
    schedule: Schedule = Constant()
    warmup: Warmup = Warmup()
    clip_norm: float = 0.0
    """Clip each leaf's gradient to this norm; 0 = off."""


@dataclass(frozen=True)
class Lars:
    """SGD whose step is scaled layer by layer."""

    name: Literal["lars"] = field(default="lars", kw_only=True)
    learning_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    """Coupled L2, added before momentum."""
    schedule: Schedule = Constant()
    warmup: Warmup = Warmup()
    clip_norm: float = 0.0
    """Clip each leaf's gradient to this norm; 0 = off."""
    trust: float = 0.02
    """Ratio of the step's norm to the weights' norm (eta)."""
    clip_trust: bool = True
    """Never step further than plain SGD would."""


@dataclass(frozen=True)
class Adam:
    """Adam, without weight decay."""

    name: Literal["adam"] = field(default="adam", kw_only=True)
    learning_rate: float = 0.01
    schedule: Schedule = Constant()
    warmup: Warmup = Warmup()
    clip_norm: float = 0.0
    """Clip each leaf's gradient to this norm; 0 = off."""
    b1: float = 0.9
    """Decay of the average of gradients."""
    b2: float = 0.999
    """Decay of the average of squared gradients."""


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay."""

    name: Literal["adamw"] = field(default="adamw", kw_only=True)
    learning_rate: float = 0.01
    weight_decay: float = 0.0
    schedule: Schedule = Constant()
    warmup: Warmup = Warmup()
    clip_norm: float = 0.0
    """Clip each leaf's gradient to this norm; 0 = off."""
    b1: float = 0.9
    """Decay of the average of gradients."""
    b2: float = 0.999
    """Decay of the average of squared gradients."""


@dataclass(frozen=True)
class Lamb:
    """AdamW whose step is scaled layer by layer."""

    name: Literal["lamb"] = field(default="lamb", kw_only=True)
    learning_rate: float = 0.01
    weight_decay: float = 0.0
    schedule: Schedule = Constant()
    warmup: Warmup = Warmup()
    clip_norm: float = 0.0
    """Clip each leaf's gradient to this norm; 0 = off."""
    b1: float = 0.9
    """Decay of the average of gradients."""
    b2: float = 0.999
    """Decay of the average of squared gradients."""


@dataclass(frozen=True)
class AdaBelief:
    """Adam by the squared differences from the average gradient."""

    name: Literal["adabelief"] = field(default="adabelief", kw_only=True)
    learning_rate: float = 0.01
    schedule: Schedule = Constant()
    warmup: Warmup = Warmup()
    clip_norm: float = 0.0
    """Clip each leaf's gradient to this norm; 0 = off."""
    b1: float = 0.9
    """Decay of the average of gradients."""
    b2: float = 0.999
    """Decay of the average of those squared differences."""


OptimiserSpec = Sgd | Adam | AdamW | Lars | Lamb | AdaBelief
"""Any of them."""
