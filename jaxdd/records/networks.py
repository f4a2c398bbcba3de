"""Network architectures by name and options (`jaxdd.networks.build`)."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

__all__ = [
    "Activation",
    "AlexNet",
    "BatchNorm",
    "ConvNet",
    "LeNet",
    "Mlp",
    "MobileNet",
    "NetworkSpec",
    "ResNet",
    "Softplus",
    "Vgg11",
    "ViT",
]

Norm = Literal["none", "batch", "instance", "group", "layer"]
Initialiser = Literal["torch", "uniform", "flax", "xavier", "he"]
"""torch: uniform with bound 1/sqrt(fan_in) for kernels and biases, but in ResNets
torchvision's normal kernels; uniform: that bound everywhere; flax: LeCun normal
kernels, zero biases; xavier: Glorot normal kernels, zero biases; he: normal kernels of
variance 2/fan_in, normal biases of deviation 0.1."""
Convolution = Literal["auto", "stock", "cpu", "rows"]
"""auto: the CPU convolution on CPU, XLA's elsewhere. cpu has no forward-mode
derivatives; rows has them and is fast in loops on CPU, up to 3 times slower."""


@dataclass(frozen=True)
class BatchNorm:
    """How batch norm, where a network has it, keeps statistics for tests."""

    momentum: float = 0.9
    """Weight of the old running statistic (Flax convention; 1 - PyTorch's)."""
    running_variance: Literal["unbiased", "biased"] = "unbiased"
    """What is averaged: unbiased as PyTorch has it, biased as Flax."""


@dataclass(frozen=True)
class Activation:
    """An activation without settings."""

    name: Literal["relu", "sigmoid", "leaky_relu", "swish"] = "relu"
    """leaky_relu has slope 0.01."""


@dataclass(frozen=True)
class Softplus:
    """log(1 + exp(b x)) / b."""

    name: Literal["softplus"] = field(default="softplus", kw_only=True)
    sharpness: float = 60.0
    """b."""


@dataclass(frozen=True)
class ConvNet:
    """The field's ConvNet: blocks of 3x3 convolution, norm, activation and pooling."""

    name: Literal["convnet"] = field(default="convnet", kw_only=True)
    width: tuple[int, ...] = (128, 128, 128)
    """Channels of each block."""
    depth: int | None = None
    """Repeat a single width this many times."""
    norm: Norm = "instance"
    norm_place: Literal["after", "before"] = "after"
    """after: each convolution's map is normalised; before: what each convolution gets,
    from the second on (FRePo)."""
    batch_norm: BatchNorm = BatchNorm()
    activation: Activation | Softplus = Activation()
    pooling: Literal["none", "avg", "max"] = "avg"
    pad_grey: bool = True
    """28x28 grey images become a 32x32 map in the first convolution."""
    initialiser: Initialiser = "torch"
    """How weights are drawn: see `jaxdd.records.networks`."""
    conv: Convolution = "auto"
    """auto: the CPU convolution on CPU, XLA's elsewhere. cpu has no forward-mode
    derivatives; rows has them and is fast in loops on CPU, up to 3 times slower."""


@dataclass(frozen=True)
class Mlp:
    """Dense layers with ReLU; without any, a linear map."""

    name: Literal["mlp"] = field(default="mlp", kw_only=True)
    width: tuple[int, ...] = (128, 128, 128)
    """Size of each hidden layer."""
    depth: int | None = None
    """Repeat a single width this many times."""
    initialiser: Initialiser = "torch"
    norm: ClassVar[Norm] = "none"
    conv: ClassVar[Convolution] = "stock"


@dataclass(frozen=True)
class LeNet:
    """LeNet of the field's tables; it takes no norm."""

    name: Literal["lenet"] = field(default="lenet", kw_only=True)
    initialiser: Initialiser = "torch"
    conv: Convolution = "auto"
    norm: ClassVar[Norm] = "none"


@dataclass(frozen=True)
class AlexNet:
    """AlexNet of the field's tables."""

    name: Literal["alexnet"] = field(default="alexnet", kw_only=True)
    norm: Norm = "instance"
    batch_norm: BatchNorm = BatchNorm()
    initialiser: Initialiser = "torch"
    conv: Convolution = "auto"


@dataclass(frozen=True)
class Vgg11:
    """VGG-11 of the field's tables."""

    name: Literal["vgg11"] = field(default="vgg11", kw_only=True)
    norm: Norm = "instance"
    batch_norm: BatchNorm = BatchNorm()
    initialiser: Initialiser = "torch"
    conv: Convolution = "auto"


@dataclass(frozen=True)
class MobileNet:
    """MobileNetV2 of the field's tables."""

    name: Literal["mobilenet"] = field(default="mobilenet", kw_only=True)
    norm: Norm = "instance"
    batch_norm: BatchNorm = BatchNorm()
    initialiser: Initialiser = "torch"
    conv: Convolution = "auto"


@dataclass(frozen=True)
class ResNet:
    """A residual network."""

    name: Literal[
        "resnet10", "resnet18", "resnet34", "resnet50", "resnet10_ap", "resnet18_ap"
    ] = "resnet18"
    """_ap: with 2x2 averages in place of strides."""
    norm: Norm = "instance"
    batch_norm: BatchNorm = BatchNorm()
    stem: Literal["pad2", "pad1", "imagenet"] = "pad2"
    """pad2, pad1: a 3x3 convolution with this much padding; imagenet: a 7x7
    convolution and a 3x3 max-pooling, both of stride 2."""
    zero_last: bool = True
    """The last normalisation of each block starts with scale zero."""
    initialiser: Initialiser = "torch"
    """torch: torchvision's normal kernels; the others as in every network."""
    conv: Convolution = "auto"


@dataclass(frozen=True)
class ViT:
    """A vision transformer."""

    name: Literal["vit"] = field(default="vit", kw_only=True)
    width: tuple[int, ...] = (128, 128, 128)
    """Length of a token in each block, all equal."""
    depth: int | None = None
    """Repeat a single width this many times."""
    norm: Literal["layer", "none"] = "layer"
    patch: int = 4
    """Pixels a side of what becomes a token."""
    heads: int = 8
    """Attention heads; they share a token's length."""
    hidden: int | None = None
    """Width of the layer inside each MLP; default: as long as a token."""
    dropout: float = 0.0
    """Share set to zero after embedding, attention and MLP layers."""
    initialiser: Initialiser = "torch"
    conv: ClassVar[Convolution] = "stock"


NetworkSpec = ConvNet | Mlp | LeNet | AlexNet | Vgg11 | MobileNet | ViT | ResNet
"""Any of them; `jaxdd.networks.named` has the options under which the field knows
them."""
