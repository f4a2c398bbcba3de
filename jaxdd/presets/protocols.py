"""The student-training protocols of the field, by name, as plain data.

Epoch counts, drops and resets are those of the authors' programs; the method cards and
papers that each follows are named in its row. `named` fits one to a data set.
"""

import dataclasses

from jaxdd import networks
from jaxdd.augment import NAMED as AUGMENTATIONS
from jaxdd.errors import one_of
from jaxdd.records import (
    Adam,
    AdamW,
    Architecture,
    AugmentSpec,
    ConvNet,
    Decay,
    Labelled,
    NetworkSpec,
    Protocol,
    Recipe,
    Regression,
    Representation,
    Sgd,
    Steps,
    Warmup,
    WideKernel,
)

__all__ = ["PROTOCOLS", "known", "named"]

_DSA = AUGMENTATIONS["dsa"]
_NONE = Recipe(steps=0)


def _sgd(epochs: int) -> Sgd:
    """SGD that is replaced by a new one, ten times slower, after half of the epochs.

    The authors' loop runs epochs 0 to E and drops after epoch E // 2 + 1, so E // 2 + 2
    of its E + 1 epochs come before (VICO-UoE/DatasetCondensation, utils.py).
    """
    last = epochs - 1
    schedule = Steps(((last // 2 + 2) / epochs,), restart=True)
    return Sgd(0.01, 0.9, 5e-4, schedule)


def _vico(name: str, epochs: int, augment: AugmentSpec, **recipe: object) -> Protocol:
    train = Recipe(epochs=epochs, batch=256, optimiser=_sgd(epochs), augment=augment)
    train = dataclasses.replace(train, **recipe)  # type: ignore[arg-type]
    return Protocol(name=name, train=train, probe=_NONE, fine_tune=_NONE)


_PLAIN = AugmentSpec()
_OWN_RATE = Labelled(own_rate=True)
_BEST = Labelled(check_every=10, report="best")
_TRAJECTORY = _vico("mtt", 1001, _DSA)
_RANKING_RATES = (0.001, 0.005, 0.01, 0.05, 0.1)
_RANKING = Protocol(
    name="ddranking",
    train=Recipe(
        epochs=1000,
        batch=256,
        optimiser=Sgd(0.01, 0.9, 5e-4, schedule=Steps()),
        augment=_DSA,
    ),
    probe=_NONE,
    fine_tune=_NONE,
    labelled=Labelled(
        own_rate=True,
        learning_rates=_RANKING_RATES,
        check_every=10,
        report="best",
        ranking=True,
        full=Recipe(
            epochs=200,
            batch=512,
            optimiser=Sgd(0.01, 0.9, 5e-4, schedule=Steps()),
        ),
    ),
)

PROTOCOLS: dict[str, Protocol] = {
    # Zhao et al. 2021 (DC): no augmentation, but for MNIST and for batch norm.
    "dc": _vico("dc", 301, _PLAIN),
    "dc_bn": dataclasses.replace(
        _vico("dc_bn", 1001, AUGMENTATIONS["dc_bn"]), network=ConvNet(norm="batch")
    ),
    # Zhao and Bilen 2021, 2023 (DSA, DM) and those that follow their program.
    "vico": _vico("vico", 1001, _DSA),
    "dsa": _vico("dsa", 1001, _DSA),
    # Son et al. 2024 (FYI): flips beside one other operation.
    "fyi": _vico("fyi", 1001, AUGMENTATIONS["fyi"]),
    # Cazenavette et al. 2022 (MTT): at the learned rate, in the set's own whitening.
    "mtt": dataclasses.replace(_TRAJECTORY, labelled=_OWN_RATE),
    # Guo et al. 2024 (DATM): soft labels are logits.
    "datm": dataclasses.replace(
        _vico("datm", 1001, _DSA, batch=128, loss="soft_cross_entropy"),
        labelled=_OWN_RATE,
    ),
    # Sajedi et al. 2023 (DataDAM): a student with batch norm.
    "datadam": dataclasses.replace(
        _vico("datadam", 1800, _DSA, batch=64),
        network=ConvNet(norm="batch"),
        labelled=_BEST,
    ),
    # Kim et al. 2022 (IDC).
    "idc": dataclasses.replace(
        _vico(
            "idc",
            1000,
            AUGMENTATIONS["idc"],
            batch=64,
            optimiser=Sgd(0.01, 0.9, 5e-4, Steps((2 / 3, 5 / 6), 0.2)),
        ),
        labelled=_BEST,
    ),
    # Wang et al. 2025 (NCFM).
    "ncfm": dataclasses.replace(
        _vico(
            "ncfm",
            2000,
            AUGMENTATIONS["idc"],
            batch=128,
            optimiser=AdamW(1e-3, 0.01, Steps((0.2, 0.4, 0.6, 0.8), 0.5)),
        ),
        labelled=_BEST,
    ),
    # Loo et al. 2022 (RFAD): a wide network around its start, by what was best for ten
    # images per class of CIFAR-10, and the regressions of its infinite width.
    "rfad": Protocol(
        name="rfad",
        network=ConvNet(
            width=(1024,) * 3, norm="none", initialiser="he", pad_grey=False
        ),
        train=Recipe(steps=5000, optimiser=Sgd(1e-3, 0.9), loss="mse"),
        probe=_NONE,
        fine_tune=_NONE,
        labelled=Labelled(centred=True, label_scale=2.0),
        regression=Regression(
            kernels=(
                WideKernel("nngp", Architecture("convnet3")),
                WideKernel("ntk", Architecture("convnet3")),
            ),
            ridge=5e-3,
        ),
    ),
    # Cazenavette et al. 2023 (GLaD); its rate for VGG11 is ten times lower.
    "glad": _vico(
        "glad",
        1000,
        _DSA,
        optimiser=Sgd(1e-3, 0.9, 5e-4, Decay("cosine"), Warmup(share=0.5)),
        ema=0.995,
    ),
    # Zhou et al. 2022 (FRePo): centred labels are regressed; no norm; `named` counts
    # the steps from the size of the set.
    "frepo": Protocol(
        name="frepo",
        network=ConvNet(width=(128, 256, 512), norm="none", initialiser="flax"),
        train=Recipe(
            steps=5000,
            batch=500,
            optimiser=Adam(3e-4, schedule=Decay("cosine", 0.01), warmup=Warmup(500)),
            loss="mse",
            augment=AUGMENTATIONS["frepo"],
        ),
        probe=_NONE,
        fine_tune=_NONE,
    ),
    # Lee et al. 2024 (KRR-ST): pre-training on representations, then transfer.
    "krr_st": Protocol(
        name="krr_st",
        network=ConvNet(width=(128, 256, 512), norm="batch"),
        train=Recipe(
            epochs=1000,
            batch=256,
            optimiser=Sgd(0.1, 0.9, 1e-3),
            loss="mse",
        ),
        probe=Recipe(
            steps=5000,
            batch=512,
            optimiser=Sgd(0.2, schedule=Decay("cosine")),
        ),
        fine_tune=Recipe(
            steps=10_000,
            batch=256,
            optimiser=Sgd(0.01, 0.9, 5e-4, schedule=Decay("cosine")),
            augment=AUGMENTATIONS["crop_flip"],
        ),
        representation=Representation(full=False),
    ),
    # Cui et al. 2022 (DC-BENCH): the same students on everybody's sets.
    "dcbench": _vico("dcbench", 301, _PLAIN),
    "dcbench_dsa": _vico("dcbench_dsa", 1001, _DSA),
    # Li et al. 2025 (DD-Ranking): methods with hard labels, and with DATM's.
    "ddranking": _RANKING,
    "ddranking_soft": dataclasses.replace(
        _RANKING,
        name="ddranking_soft",
        train=dataclasses.replace(_RANKING.train, loss="soft_cross_entropy"),
    ),
}
"""By name, as for 32x32 natural images; `named` fits one to others."""

_FREPO_STEPS = {10: 1000, 100: 2000, 200: 20_000, 400: 5000, 500: 5000}
_FREPO_STEPS |= {1000: 10_000, 2000: 40_000, 5000: 40_000}
"""Steps by number of images (yongchaoz/FRePo, script/eval.py)."""


def known(name: str) -> Protocol:
    """The protocol of that name as the table has it.

    Raises:
      InputError: an unknown name; the message offers the nearest.
    """
    one_of("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def named(
    name: str,
    image_shape: tuple[int, int, int],
    *,
    size: int | None = None,
    mirrors: bool = True,
) -> Protocol:
    """A protocol fitted to a data set, as its authors fit it.

    ConvNets get a depth from the image side. Data whose mirror images are not of the
    same class is not flipped. DC augments grey digits. FRePo's steps depend on the
    number of images: those of the next size in its table.

    Args:
      name: one of `PROTOCOLS`.
      image_shape: (h, w, c) of the images.
      size: synthetic images, for FRePo.
      mirrors: whether a mirrored image is of the same class.

    Returns:
      The protocol.

    Raises:
      InputError: an unknown name; the message offers the nearest.
    """
    protocol = known(name)
    train = protocol.train
    if name == "dc" and not mirrors and image_shape[2] == 1:
        train = _dc_on_digits(train)
    if not mirrors:
        train = dataclasses.replace(train, augment=_unmirrored(train.augment))
    if name == "frepo":
        train = _frepo(train, size, image_shape)
    tuned = protocol.fine_tune
    if not mirrors:
        tuned = dataclasses.replace(tuned, augment=_unmirrored(tuned.augment))
    network = _fitted(protocol.network, image_shape)
    return dataclasses.replace(protocol, train=train, fine_tune=tuned, network=network)


def _fitted(spec: NetworkSpec, image_shape: tuple[int, int, int]) -> NetworkSpec:
    """The ConvNet with as many blocks as the field gives images of that side."""
    usual = networks.named("convnet", image_shape)
    assert isinstance(spec, ConvNet)
    assert isinstance(usual, ConvNet)
    depth = usual.depth or 0
    start, last = spec.width[0], spec.width[-1]
    double = last > start
    width = tuple(start * 2**i if double else start for i in range(depth))
    return dataclasses.replace(spec, width=width)


def _dc_on_digits(train: Recipe) -> Recipe:
    """Where DC's program augments, it trains longer."""
    digits = AUGMENTATIONS["dc_mnist"]
    return dataclasses.replace(train, epochs=1001, optimiser=_sgd(1001), augment=digits)


def _frepo(
    train: Recipe, size: int | None, image_shape: tuple[int, int, int]
) -> Recipe:
    if image_shape[2] == 1:  # MNIST and Fashion-MNIST
        digits = AUGMENTATIONS["frepo_digits"]
        train = dataclasses.replace(train, augment=digits)
    if size is None:
        return train
    listed = [count for count in _FREPO_STEPS if count >= size] or [max(_FREPO_STEPS)]
    return dataclasses.replace(train, steps=_FREPO_STEPS[min(listed)])


def _unmirrored(spec: AugmentSpec) -> AugmentSpec:
    """The same augmentation without flips."""
    if spec.policy == "chain":
        return dataclasses.replace(spec, flip=False)
    if not spec.strategy:  # all operations of the policy
        digits = AUGMENTATIONS.get(f"{spec.policy}_digits", spec)
        return dataclasses.replace(spec, strategy=digits.strategy)
    kept = [token for token in spec.strategy.split("_") if token != "flip"]
    return dataclasses.replace(spec, strategy="_".join(kept))
