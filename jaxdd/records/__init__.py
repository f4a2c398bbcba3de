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
from jaxdd.records.optimisers import (
    AdaBelief,
    Adam,
    AdamW,
    Constant,
    Decay,
    Lamb,
    Lars,
    Listed,
    OptimiserSpec,
    Schedule,
    Sgd,
    Steps,
    Warmup,
)
from jaxdd.records.recipes import (
    AdjointSpec,
    AugmentSpec,
    KernelSpec,
    Recipe,
    Views,
)
from jaxdd.records.rows import Row
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
    "AdaBelief",
    "Adam",
    "AdamW",
    "AdjointSpec",
    "AlexNet",
    "AugmentSpec",
    "BatchNorm",
    "Constant",
    "ConvNet",
    "DataSpec",
    "Decay",
    "DistributedConfig",
    "Expected",
    "Experts",
    "ExpertsNeed",
    "KernelSpec",
    "Lamb",
    "Lars",
    "LeNet",
    "Listed",
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
    "Row",
    "Schedule",
    "Sgd",
    "Softplus",
    "Steps",
    "Teacher",
    "TeacherNeed",
    "Vgg11",
    "ViT",
    "Views",
    "Warmup",
    "digest",
    "from_dict",
    "kinds",
    "kinds_at",
    "switched",
    "to_dict",
]
