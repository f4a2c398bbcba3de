"""Plain, frozen, hashable settings shared by methods, presets and the runner.

Every record is data only: it names choices and numbers, and the module that acts on
it (networks, augment, training, data ...) gives them meaning. All of them convert to
and from JSON with `to_dict` and `from_dict`, and hash by content with `digest`.
"""

from jaxdd.records.conversion import digest, from_dict, to_dict
from jaxdd.records.kinds import kinds, kinds_at, switched
from jaxdd.records.networks import (
    Activation,
    AlexNet,
    BatchNorm,
    ConvNet,
    LeNet,
    Mlp,
    MobileNet,
    NetworkSpec,
    ResNet,
    Softplus,
    Vgg11,
    ViT,
)
from jaxdd.records.recipes import (
    AdjointSpec,
    AugmentSpec,
    KernelSpec,
    OptimiserSpec,
    Recipe,
    Views,
)
from jaxdd.records.running import DistributedConfig, LoopConfig
from jaxdd.records.subjects import (
    DataSpec,
    Expected,
    Experts,
    ExpertsNeed,
    Meta,
    Need,
    Preset,
    Protocol,
    Teacher,
    TeacherNeed,
)

__all__ = [
    "Activation",
    "AdjointSpec",
    "AlexNet",
    "AugmentSpec",
    "BatchNorm",
    "ConvNet",
    "DataSpec",
    "DistributedConfig",
    "Expected",
    "Experts",
    "ExpertsNeed",
    "KernelSpec",
    "LeNet",
    "LoopConfig",
    "Meta",
    "Mlp",
    "MobileNet",
    "Need",
    "NetworkSpec",
    "OptimiserSpec",
    "Preset",
    "Protocol",
    "Recipe",
    "ResNet",
    "Softplus",
    "Teacher",
    "TeacherNeed",
    "Vgg11",
    "ViT",
    "Views",
    "digest",
    "from_dict",
    "kinds",
    "kinds_at",
    "switched",
    "to_dict",
]
