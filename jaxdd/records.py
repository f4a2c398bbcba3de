"""Plain, frozen, hashable settings shared by methods, presets and the runner.

Every record is data only: it names choices and numbers, and the module that acts on
it (networks, augment, training, data ...) gives them meaning. All of them convert to
and from JSON with `to_dict` and `from_dict`, and hash by content with `digest`.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = [
    "AugmentSpec",
    "DataSpec",
    "Expected",
    "Meta",
    "Need",
    "NetworkSpec",
    "OptimiserSpec",
    "Preset",
    "Protocol",
    "Recipe",
    "Teacher",
    "TeacherNeed",
    "Views",
    "digest",
    "from_dict",
    "to_dict",
]


@dataclass(frozen=True)
class NetworkSpec:
    """A network architecture by name and options (`jaxdd.networks.build`)."""

    name: str = "convnet"
    """convnet, mlp, lenet, alexnet, vgg11, mobilenet, vit, resnet10, resnet18,
    resnet34, resnet50, or resnet10_ap and resnet18_ap: with 2x2 averages in place of
    strides. `jaxdd.networks.named` has the options under which the field knows them."""
    width: tuple[int, ...] = (128, 128, 128)
    """Channels of each block (convnet), hidden sizes (mlp), length of a token in each
    block (vit: all equal); the others have widths of their own."""
    depth: int | None = None
    """Repeat a single width this many times."""
    norm: Literal["none", "batch", "instance", "group", "layer"] = "instance"
    """vit has layer or none; mlp and lenet have none whatever it says."""
    pooling: Literal["none", "avg", "max"] = "avg"
    """convnet only."""
    activation: Literal["relu", "sigmoid", "leaky_relu", "swish"] = "relu"
    """convnet only. leaky_relu has slope 0.01."""
    initialiser: Literal["torch", "uniform", "flax"] = "torch"
    """torch: uniform with bound 1/sqrt(fan_in) for kernels and biases, but in ResNets
    torchvision's normal kernels; uniform: that bound everywhere; flax: LeCun normal
    kernels, zero biases."""
    batch_momentum: float = 0.9
    """Weight of the old running statistic (Flax convention; 1 - PyTorch's)."""
    conv: Literal["auto", "stock", "cpu"] = "auto"
    """auto: the CPU convolution on CPU, XLA's elsewhere."""
    stem: Literal["pad2", "pad1", "imagenet"] = "pad2"
    """ResNets only. pad2, pad1: a 3x3 convolution with this much padding; imagenet: a
    7x7 convolution and a 3x3 max-pooling, both of stride 2."""
    zero_last: bool = True
    """ResNets only: the last normalisation of each block starts with scale zero."""
    patch: int = 4
    """vit only: pixels a side of what becomes a token."""
    heads: int = 8
    """vit only: attention heads; they share a token's length."""
    hidden: int | None = None
    """vit only: width of the layer inside each MLP; default: as long as a token."""
    dropout: float = 0.0
    """vit only: share set to zero after embedding, attention and MLP layers."""


@dataclass(frozen=True)
class OptimiserSpec:
    """An optimiser with its schedule (`jaxdd.optimisers.build`)."""

    name: Literal["sgd", "adam", "adamw", "lars", "lamb"] = "sgd"
    learning_rate: float = 0.01
    momentum: float = 0.9
    """sgd and lars only."""
    weight_decay: float = 0.0
    """sgd, lars: coupled L2, added before momentum; adamw, lamb: decoupled."""
    schedule: Literal["constant", "linear", "cosine", "step"] = "constant"
    """step: times `factor` at each of the `boundaries`."""
    boundaries: tuple[float, ...] = (0.5,)
    """step: as fractions of the run, increasing."""
    factor: float = 0.1
    """step: what the learning rate is multiplied with."""
    restart: bool = False
    """step: forget momentum and other averages at each boundary, as a new optimiser."""
    final: float = 0.0
    """Fraction of the learning rate at the end (linear, cosine)."""
    warmup: int = 0
    """Steps of linear warm-up."""
    warmup_start: float = 0.0
    """Learning rate at the first of them."""
    warmup_share: float = 0.0
    """Warm-up as a fraction of the run, in place of `warmup` steps."""
    clip_norm: float = 0.0
    """Clip each leaf's gradient to this norm; 0 = off."""
    trust: float = 0.02
    """lars: ratio of the step's norm to the weights' norm (eta)."""
    clip_trust: bool = True
    """lars: never step further than plain SGD would."""


@dataclass(frozen=True)
class AugmentSpec:
    """Random image operations (`jaxdd.augment`); a zero switches an operation off."""

    policy: Literal["chain", "dsa", "idc", "dc", "frepo"] = "chain"
    """chain: the operations switched on below, one after the other. The others are
    families of published methods with operations of their own, named by `strategy`."""
    strategy: str = ""
    """Operations of that family joined by "_"; "" = what it takes for natural images.
    dsa and idc: color, crop, cutout, flip, scale, rotate; dc: crop, scale, rotate,
    noise; frepo: color, crop, cutout, flip, rotate, translate."""
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
    optimiser: OptimiserSpec = OptimiserSpec()
    loss: Literal["cross_entropy", "mse", "soft_cross_entropy", "kl"] = "cross_entropy"
    """cross_entropy: targets are classes or probabilities; soft_cross_entropy and kl:
    logits (`jaxdd.losses`)."""
    temperature: float = 1.0
    """soft_cross_entropy and kl: divides the logits."""
    augment: AugmentSpec = AugmentSpec()
    ema: float = 0.0
    """Decay of an exponential average of the weights, used at test; 0 = off."""


@dataclass(frozen=True)
class Teacher:
    """A self-supervised target model, trained here (`jaxdd.prepare`) or imported."""

    network: NetworkSpec = NetworkSpec(name="resnet18", norm="batch")
    represent: Literal["features", "output"] = "features"
    """features: the input of the last layer; output: a Dense layer of `outputs`."""
    outputs: int = 64
    projector: tuple[int, ...] = (2048, 2048, 2048)
    """Widths of the projector behind the representation; () = the loss acts on the
    representation itself."""
    projector_norm: bool = True
    """Batch norm in its hidden layers."""
    objective: Literal["barlow", "simclr", "vicreg", "byol"] = "barlow"
    """The loss between two views, which decides what of the following is read."""
    redundancy: float = 0.0051
    """barlow: weight of the off-diagonal terms (lambda)."""
    loss_scale: float = 0.1
    """barlow: of the whole loss."""
    temperature: float = 0.2
    """simclr: divides the cosines."""
    invariance: float = 25.0
    """vicreg: weight of the squared difference of the views."""
    variance: float = 25.0
    """vicreg: weight of the hinge on the deviations, summed over the views; the
    published program averages over them, which is half of this weight."""
    covariance: float = 1.0
    """vicreg: weight of the squared covariances."""
    predictor: tuple[int, ...] = (4096, 256)
    """byol: widths of the predictor behind the projector; the last is the width of
    what it predicts."""
    target_decay: float = 0.99
    """byol: decay of the averaged network that is predicted, at the first step; it
    rises to 1 along a cosine."""
    standardise: bool = False
    """Shift and scale each number of the representation to mean 0 and deviation 1 over
    the training images."""
    recipe: Recipe = Recipe()
    seed: int = 0
    checkpoint: Path | None = None
    """Take the weights from this file instead of training: PyTorch (.pt, .pth, .ckpt),
    .safetensors or .npz, a ResNet by torchvision's names that fits `network`."""


@dataclass(frozen=True)
class TeacherNeed:
    """A method needs `assets["teacher"]`: a trained teacher over these views."""

    teacher: Teacher
    views: Views = Views()
    name: str = "teacher"


Need = TeacherNeed


@dataclass(frozen=True)
class DataSpec:
    """Which data, and how it is brought to the shape a method sees."""

    name: str = "digits"
    """A data set by name (`jaxdd.data.catalogue` lists them), or: folder, any folder or
    archive of images given with dir; npz, any .npz given with dir; tfds:NAME."""
    dir: Path | None = None
    """Folder that holds the data set's files, or the file itself. Default: the
    environment variable JAXDD_DATA; what is not there is downloaded if it can be."""
    resize: int | None = None
    """Bring every image to a square of this many pixels a side."""
    resize_mode: Literal["crop", "stretch"] = "crop"
    """crop: scale the shorter side, keep the centre; stretch: ignore the aspect."""
    channels: Literal[1, 3] | None = None
    """Convert images to grey (1) or colour (3)."""
    test_share: float = 0.2
    """Share of each class held out where a folder has no test images."""
    split_seed: int = 0
    """Of that choice."""
    skip_bad: bool = False
    """Leave out images that do not decode, and list them, instead of stopping."""
    train_limit: int | None = None
    """Keep a seeded, class-balanced subset of this many training images."""
    test_limit: int | None = None
    pad: int = 0
    """Pad by this many zero pixels on each side, before pooling."""
    pool: int = 1
    """Average-pool by this factor."""
    whitening: Literal["none", "standard", "zca_kornia", "zca_kip", "zca_frepo"] = (
        "standard"
    )
    view_budget: int = 12_000_000_000
    """Bytes that cached teacher outputs may take; beyond it the teacher runs inside
    the step."""


@dataclass(frozen=True)
class Protocol:
    """How a set is judged: the student and its training (`jaxdd.evaluation`)."""

    name: str = "plain"
    network: NetworkSpec = NetworkSpec()
    networks: tuple[str, ...] = ()
    """Other architectures by name (`jaxdd.networks.NAMED`), each trained on every row
    as well; resnet18:1 only with the first seed. Sets with class labels only."""
    train: Recipe = Recipe()
    """Training of a fresh student on the set."""
    own_rate: bool = False
    """Train at the learning rate that the set brings, where it has one."""
    check_every: int = 0
    """Epochs (steps, if the recipe counts those) between tests during training, which
    give `accuracy_best`; 0 = only the last step is tested."""
    report: Literal["last", "best"] = "last"
    """Which accuracy the protocol publishes; both are in the report."""
    learning_rates: tuple[float, ...] = ()
    """The random row, and a set without a rate of its own where `own_rate` asks for
    one, takes the best of these by test accuracy."""
    ranking: bool = False
    """Also the scores of DD-Ranking: LRS, ARS and what they are made of."""
    full_train: Recipe = Recipe(steps=0)
    """Training on the whole training set (row `full`) for sets with class labels; 0
    steps and epochs leave it out."""
    probe: Recipe = Recipe(
        steps=500, batch=512, optimiser=OptimiserSpec("sgd", 0.2, schedule="cosine")
    )
    """Linear probe on frozen features; 0 steps leave it out."""
    fine_tune: Recipe = Recipe(
        steps=500,
        batch=256,
        optimiser=OptimiserSpec("sgd", 0.01, 0.9, 5e-4, schedule="cosine"),
    )
    """Training of all weights with a fresh head; 0 steps leave it out."""
    neighbours: int = 5
    """k of the k-nearest-neighbour classifier (representation sets)."""
    full: bool = True
    """Also train on the whole training set (representation sets)."""
    own: bool = True
    """Probe, k-NN and fine-tuning on the set's own data too (representation sets)."""
    target: tuple[str, ...] = ()
    """Data sets by name on which the students are measured too (transfer): probe,
    k-NN and fine-tuning there, at the image size of the set."""
    target_dir: Path | None = None
    """Where they lie; default: as the data set's own."""
    target_train_limit: int | None = None
    """Seeded, class-balanced subset of each target's training images."""
    target_test_limit: int | None = None


@dataclass(frozen=True)
class Expected:
    """A figure a preset should reach."""

    metric: str
    value: float
    source: str
    status: Literal["reproduced", "pending", "prototype"] = "pending"
    note: str = ""


@dataclass(frozen=True)
class Preset:
    """A complete, named set of settings for one method on one data set."""

    distill: Any
    data: DataSpec
    steps: int
    evaluate: Protocol
    size: int | None = None
    ipc: int | None = None
    expected: tuple[Expected, ...] = ()
    source: str = ""
    hours: str = ""
    hardware: str = ""


@dataclass(frozen=True)
class Meta:
    """What a distilled set says about itself; stored as JSON beside the arrays."""

    method: str
    dataset: str
    dataset_hash: str
    image_shape: tuple[int, int, int]
    num_classes: int
    class_names: tuple[str, ...]
    label_kind: Literal["hard", "soft", "representation"]
    protocol: Protocol
    data: DataSpec = DataSpec()
    teacher: Teacher | None = None
    preset: str = ""
    config: dict[str, Any] = field(default_factory=dict, hash=False)
    config_hash: str = ""
    input_space: Literal["whitened", "raw"] = "whitened"
    """Space of the stored images; raw = [0,1] pixels fed to networks as they are."""
    seed: int = 0
    storage: dict[str, int] = field(default_factory=dict, hash=False)
    """Bytes of images, targets and modules."""
    rows: tuple[dict[str, Any], ...] = field(default=(), hash=False)
    """The rows of the report at the time of saving, which --verify re-measures."""
    versions: dict[str, str] = field(default_factory=dict, hash=False)


def to_dict(record: Any) -> Any:
    """A record as nested dicts, lists and plain values, ready for JSON."""
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        return {
            f.name: to_dict(getattr(record, f.name)) for f in dataclasses.fields(record)
        }
    if isinstance(record, dict):
        return {str(name): to_dict(value) for name, value in record.items()}
    if isinstance(record, list | tuple):
        return [to_dict(value) for value in record]
    return str(record) if isinstance(record, Path) else record


def from_dict(kind: Any, value: Any) -> Any:
    """The inverse of `to_dict` for a record type or annotation `kind`.

    Raises:
      KeyError: a field is unknown to the record.
    """
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        unknown = sorted(set(value) - set(hints))
        if unknown:
            raise KeyError(f"{kind.__name__} has no field {unknown[0]!r}")
        return kind(**{n: from_dict(hints[n], v) for n, v in value.items()})
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return from_dict(next(a for a in args if a is not type(None)), value)
    if origin is tuple:
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else args
        return tuple(from_dict(k, v) for k, v in zip(kinds, value, strict=True))
    return Path(value) if kind is Path else value


def digest(*records: Any) -> str:
    """SHA-256 (first 16 hex digits) over the JSON form of the records."""
    text = json.dumps([to_dict(r) for r in records], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
