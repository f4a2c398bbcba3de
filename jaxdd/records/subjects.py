"""What a run is about: data, teachers, protocols, presets, and the set itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from jaxdd.records.kernels import KernelSpec
from jaxdd.records.networks import ConvNet, NetworkSpec, ResNet
from jaxdd.records.optimisers import Decay, Sgd
from jaxdd.records.recipes import (
    Recipe,
    Views,
)
from jaxdd.records.rows import Row

__all__ = [
    "DataSpec",
    "Expected",
    "Experts",
    "ExpertsNeed",
    "Labelled",
    "Meta",
    "Need",
    "Preset",
    "Protocol",
    "Regression",
    "Representation",
    "Teacher",
    "TeacherNeed",
    "Transfer",
]


@dataclass(frozen=True)
class Teacher:
    """A self-supervised target model, trained here (`jaxdd.prepare`) or imported."""

    network: NetworkSpec = ResNet(norm="batch")
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


@dataclass(frozen=True)
class Experts:
    """Networks trained on the real data, whose parameters are kept along the way."""

    network: NetworkSpec = ConvNet()
    """Without batch norm: only parameters are kept."""
    recipe: Recipe = Recipe(batch=256, optimiser=Sgd(0.01, momentum=0.0))
    """Of one network; its `steps` and `epochs` are ignored."""
    epochs: int = 50
    """Snapshots are kept before the first epoch and after each."""
    count: int = 100
    kind: Literal["plain", "flat", "smooth"] = "plain"
    """flat: sharpness-aware steps (FTD); smooth: a damped loss in early epochs and a
    gradient penalty (AST)."""
    seed: int = 0
    radius: float = 0.01
    """flat: how far the weights are moved before the second gradient, relative to each
    weight (rho)."""
    alpha: float = 1.0
    """flat: weight of the part of the first gradient that is orthogonal to the
    second."""
    damping: float = 0.5
    """smooth: factor of the loss in the first epoch; it rises to 1 on a line."""
    damped_epochs: int = 10
    """smooth: epochs before that factor is 1; 0 = never damped."""
    penalty: float = 2.0
    """smooth: weight of the squared distance from 1 of the norms of the logits' summed
    gradient by the images, before augmentation; 0 = off."""
    penalty_norm: Literal["pixel", "image"] = "pixel"
    """smooth: what a norm is taken over. pixel: the channels of each, as the authors'
    program does; image: all numbers of each image."""
    buffers: Path | None = None
    """Take the trajectories from here instead of training: a `replay_buffer_N.pt` of
    MTT, TESLA, FTD or DATM, or a folder of them, or a folder of trajectories that
    jaxdd has recorded. `network` says what they are of; their first `count` experts
    and `epochs` epochs are used, and the other settings ignored."""


@dataclass(frozen=True)
class ExpertsNeed:
    """A method needs `assets["experts"]`: trajectories of these networks."""

    experts: Experts
    name: str = "experts"


Need = TeacherNeed | ExpertsNeed


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
    whitening: Literal[
        "none",
        "standard",
        "zca_kornia",
        "zca_kip",
        "zca_frepo",
        "zca_rfad",
        "zca_rfad_l2",
    ] = "standard"
    view_budget: int = 12_000_000_000
    """Bytes that cached teacher outputs may take; beyond it the teacher runs inside
    the step."""
    expert_budget: int = 4_000_000_000
    """Bytes of experts' trajectories that are kept on the device; beyond it the pieces
    that steps need are read while the steps before them run."""
    limit_takes: Literal["balanced", "first"] = "balanced"
    """What the limits keep: a seeded subset with equal classes, or the first images in
    the order of the files (the first test images of MNIST are the harder ones)."""


@dataclass(frozen=True)
class Transfer:
    """Other labelled data on which the students of a set are measured too."""

    targets: tuple[str, ...] = ()
    """Data sets by name: probe, k-NN and fine-tuning there, at the image size of the
    set."""
    dir: Path | None = None
    """Folder they lie in; default: as the data set's own."""
    train_limit: int | None = None
    """Seeded, class-balanced subset of each target's training images."""
    test_limit: int | None = None


@dataclass(frozen=True)
class Representation:
    """How sets without classes are judged."""

    full: bool = True
    """Also train on the whole training set."""
    own: bool = True
    """Probe, k-NN and fine-tuning on the set's own data too."""


@dataclass(frozen=True)
class Labelled:
    """How sets with class labels are judged, beyond training one network on them."""

    networks: tuple[str, ...] = ()
    """Other architectures by name (`jaxdd.networks.NAMED`), each trained on every row
    as well; resnet18:1 only with the first seed."""
    own_rate: bool = False
    """Train at the learning rate that the set brings, where it has one."""
    learning_rates: tuple[float, ...] = ()
    """The random row, and a set without a rate of its own where `own_rate` asks for
    one, takes the best of these by test accuracy."""
    check_every: int = 0
    """Epochs (steps, if the recipe counts those) between tests during training, which
    give `accuracy_best`; 0 = only the last step is tested."""
    report: Literal["last", "best"] = "last"
    """Which accuracy the protocol publishes; both are in the report."""
    ranking: bool = False
    """Also the scores of DD-Ranking: LRS, ARS and what they are made of."""
    full: Recipe = Recipe(steps=0)
    """Training on the whole training set (row `full`); 0 steps and epochs leave it
    out."""
    replay: bool = False
    """Train by the steps that the set brings, with its batches in their order and its
    rates (`dd`); real images by the same steps at one rate, of `learning_rates` or the
    recipe's. A set without steps is trained by `train`."""
    centred: bool = False
    """Students learn the difference to their outputs at the start, and weight decay
    pulls them there (RFAD)."""
    label_scale: float = 1.0
    """Students' outputs over this number are what their loss gets: as if labels were
    so many times larger, and the squared error divided by its square (RFAD)."""


@dataclass(frozen=True)
class Regression:
    """Predictions by kernel ridge regression on the set; no network is trained."""

    kernels: tuple[KernelSpec, ...] = ()
    """One regression with each: rows of their own, whose network is called krr and the
    kernel."""
    ridge: float = 1e-6
    """Added to the kernel's diagonal, times what `ridge_scale` says."""
    ridge_scale: Literal["none", "rows", "trace", "mean_trace"] = "mean_trace"
    """What it is multiplied with: 1, the number of rows, the trace of the kernel, or
    the trace over that number."""
    full: int = 0
    """Real images of their row `full`: at most all, and as many as a kernel matrix of
    1.3 GB is for; 0 leaves it out."""


@dataclass(frozen=True)
class Protocol:
    """How a set is judged: the student and its training (`jaxdd.evaluation`)."""

    name: str = "plain"
    network: NetworkSpec = ConvNet()
    train: Recipe = Recipe()
    """Training of a fresh student on the set; with 0 steps and epochs, and kernels to
    regress with, no network is trained."""
    probe: Recipe = Recipe(
        steps=500, batch=512, optimiser=Sgd(0.2, schedule=Decay("cosine"))
    )
    """Linear probe on frozen features; 0 steps leave it out."""
    fine_tune: Recipe = Recipe(
        steps=500,
        batch=256,
        optimiser=Sgd(0.01, 0.9, 5e-4, schedule=Decay("cosine")),
    )
    """Training of all weights with a fresh head; 0 steps leave it out."""
    neighbours: int = 5
    """k of the k-nearest-neighbour classifier on frozen features."""
    representation: Representation = Representation()
    labelled: Labelled = Labelled()
    transfer: Transfer = Transfer()
    regression: Regression = Regression()


@dataclass(frozen=True)
class Expected:
    """A figure a preset should reach: what was published, or what was measured here."""

    metric: str
    """Metric of the report's rows; with ", NETWORK" by that one and no student, with
    " / random row" over that of the random row."""
    value: float
    source: str
    status: Literal["reproduced", "pending", "prototype"] = "pending"
    result: str = ""
    """Name of the file in experiments/results whose figure it is, if reproduced."""
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
    scale: Literal["small", "paper"] = "small"
    """paper: reproduces what was published, in hours; it is only taken by name."""


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
    rows: tuple[Row, ...] = field(default=(), hash=False)
    """The rows of the report at the time of saving, which --verify re-measures."""
    versions: dict[str, str] = field(default_factory=dict, hash=False)
    image_floats: int = 0
    """Numbers that the images are made of, where they are decoded from fewer than
    their pixels; 0 = the pixels."""
