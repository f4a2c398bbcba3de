"""How a network is built and trained: architecture, optimiser, augmentation, recipe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jaxdd.records.optimisers import OptimiserSpec, Sgd

__all__ = [
    "AdjointSpec",
    "AugmentSpec",
    "Recipe",
    "Views",
]


@dataclass(frozen=True)
class AugmentSpec:
    """Random image operations (`jaxdd.augment`); a zero switches an operation off."""

    policy: Literal["chain", "dsa", "fyi", "idc", "dc", "frepo", "kip"] = "chain"
    """chain: the operations switched on below, one after the other. The others are
    families of published methods with operations of their own, named by `strategy`."""
    strategy: str = ""
    """Operations of that family joined by "_"; "" = what it takes for natural images.
    dsa, fyi and idc: color, crop, cutout, flip, scale, rotate; dc: crop, scale, rotate,
    noise; frepo: color, crop, cutout, flip, rotate, translate; kip: flip, rotate,
    shift."""
    cutmix: float = 0.0
    """Probability that a batch is mixed by CutMix (beta 1). Of a recipe only."""
    mixup: float = 0.0
    """Parameter of mixup's beta distribution, for every batch that CutMix leaves
    alone; 0 = off. Of a recipe only."""
    crop: int = 0
    """Pad by this many pixels with zeros and crop back at random."""
    flip: bool = False
    """Mirror left-right with probability 1/2."""
    shift: float = 0.0
    """Translate by up to this many pixels, bilinear, in each direction."""
    scale: float = 0.0
    """Zoom each axis alike by a factor log-uniform in [1/(1+scale), 1+scale]."""
    noise: float = 0.0
    """Standard deviation of additive Gaussian noise."""
    min_area: float = 0.0
    """Random resized crop of at least this share of the area (ratio 3/4 to 4/3)."""
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    jitter_probability: float = 0.8
    """Probability that the four colour operations above are applied to an image."""
    grayscale: float = 0.0
    """Probability."""
    blur: float = 0.0
    """Probability of a Gaussian blur, of the first view where two views are made."""
    blur_second: float = 0.0
    """Probability, for the second view."""
    solarize: float = 0.0
    """Probability, for the second view only where two views are made."""
    solarize_first: float = 0.0
    """Probability, for the first view or where only one is made."""


@dataclass(frozen=True)
class Views:
    """An enumerable set of views: all crops of a zero-padded image, times flips."""

    crop: int = 0
    flip: bool = False

    @property
    def count(self) -> int:
        """Number of views, (2 crop + 1)^2, doubled by flips."""
        return (2 * self.crop + 1) ** 2 * (2 if self.flip else 1)

    @property
    def identity(self) -> int:
        """The index of the unchanged image (see `jaxdd.augment.views`)."""
        return (2 * self.crop + 1) * self.crop + self.crop


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: by `jaxdd.training`, on any source of batches."""

    steps: int = 1000
    epochs: int = 0
    """Passes over the set, in place of `steps`; the last batch of a pass may be smaller
    than the others, where counting steps leaves it out. 0 = count steps."""
    batch: int = 0
    """Rows a step; 0 = the whole set at every step."""
    optimiser: OptimiserSpec = Sgd()
    loss: Literal["cross_entropy", "mse", "soft_cross_entropy", "kl"] = "cross_entropy"
    """cross_entropy: targets are classes or probabilities; soft_cross_entropy and kl:
    logits (`jaxdd.training.losses`)."""
    temperature: float = 1.0
    """soft_cross_entropy and kl: divides the logits."""
    augment: AugmentSpec = AugmentSpec()
    ema: float = 0.0
    """Decay of an exponential average of the weights, used at test; 0 = off."""
    ordered: bool = False
    """Each batch takes the rows that follow those of the one before; every pass is
    alike. Sets only."""


@dataclass(frozen=True)
class AdjointSpec:
    """How training on the set is differentiated (`jaxdd.unroll.named`)."""

    name: Literal[
        "none",
        "step",
        "nested",
        "fused",
        "mixed",
        "separable",
        "implicit_cg",
        "implicit_neumann",
        "forward",
    ] = "step"
    """none, step, nested: exact, computing nothing, every step, or blocks of steps
    again; fused (SGD), mixed (any): exact, for networks that allow forward mode, not
    the CPU convolution. The others are other gradients: separable that of TESLA,
    implicit that of a stationary point. forward: exact, for a handful of numbers."""
    terms: int = 20
    """implicit only: products with the Hessian."""
    damping: float = 0.0
    """implicit only: added to the Hessian's diagonal."""
    inner: int = 0
    """Steps in a block: of nested (0: about the root of their number), and of fused and
    mixed (0: no blocks)."""
