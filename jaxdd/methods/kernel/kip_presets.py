"""Presets of KIP (`kip`).

The figures of the paper are each the best over whitening, learned labels and
augmentation, of which the presets take whitening and learned labels on colour images,
and learned labels on grey ones. Its runs took hundreds of accelerators. `cifar10_fc` is
the notebook kip/KIP.ipynb, `cifar10_zca_code` its `zca_nol_noaug`,
`cifar10_convnet3_code` `nozca_nol_noaug`. Students: the paper's are 1024 wide, in
standard parameterisation, with a rate from the kernel's largest eigenvalue; here the
rate is fixed, and the ConvNet has no convolution before its three blocks.
"""

import dataclasses
from typing import Any

from jaxdd.methods.kernel._presets import (
    CONVNET,
    DATA,
    FC1,
    FC2,
    MNIST_14,
    by_kernel,
    smoke,
)
from jaxdd.methods.kernel.kip import KipConfig
from jaxdd.presets.figures import measured, unrecorded, with_figures
from jaxdd.records import (
    Adam,
    Architecture,
    ConvNet,
    DataSpec,
    Decay,
    Expected,
    Fc,
    KernelSpec,
    Preset,
    Protocol,
    Recipe,
    Regression,
    Sgd,
    WideKernel,
)

__all__ = ["PRESETS", "SMOKE"]

_SMALL = Preset(
    distill=KipConfig(kernel=FC2, learn_labels=True, batch=500),
    data=DataSpec("digits"),
    ipc=1,
    steps=300,
    evaluate=by_kernel("krr_fc2", FC2),
    source="a small version of the paper's recipe, for two CPU cores",
    hours="seconds",
    hardware="2 CPU cores",
)
_MNIST = dataclasses.replace(
    _SMALL,
    data=MNIST_14,
    expected=(Expected("accuracy, krr ntk-fc-2", 0.853, "prototype", "prototype"),),
)
_CIFAR10_FC = Preset(
    distill=KipConfig(kernel=FC1),
    data=DataSpec("cifar10"),
    ipc=10,
    steps=300,
    evaluate=by_kernel("krr_fc1", FC1),
    expected=(Expected("accuracy, krr ntk-fc-1", 0.4674, "kip/KIP.ipynb"),),
    source="kip/KIP.ipynb of google-research/google-research",
    hours="minutes",
    hardware="2 CPU cores",
)


def _student(name: str, kernel: KernelSpec) -> Protocol:
    """The wide network of kip/nn_training.ipynb, and the regression itself."""
    return Protocol(
        name=name,
        network=ConvNet(
            width=(1024,) * 3, norm="none", initialiser="he", pad_grey=False
        ),
        # Half the mean squared error plus 0.0005 ||w||^2.
        train=Recipe(
            steps=5000,
            batch=100,
            optimiser=Sgd(0.01, 0.9, 2e-3, schedule=Decay("cosine")),
            loss="mse",
        ),
        probe=Recipe(steps=0),
        fine_tune=Recipe(steps=0),
        regression=Regression(kernels=(kernel,)),
    )


def _row(
    data: str,
    ipc: int,
    by_krr: float,
    by_network: float,
    *,
    steps: int = 50_000,
    source: str = "the paper (from memory)",
    **settings: Any,
) -> Preset:
    """The paper's settings for a data set and number of images."""
    spec, shape, _ = DATA[data]
    zca = settings.pop("zca", shape[2] == 3)
    config = KipConfig(**({"kernel": CONVNET, "learn_labels": True} | settings))
    assert isinstance(config.kernel, WideKernel)
    figures = {
        f"accuracy, krr ntk-{config.kernel.architecture.name}": by_krr,
        "accuracy": by_network,
    }
    return Preset(
        distill=config,
        data=dataclasses.replace(spec, whitening="zca_kip" if zca else "standard"),
        ipc=ipc,
        steps=steps,
        evaluate=_student("kip", config.kernel),
        expected=tuple(Expected(n, v, source) for n, v in figures.items() if v),
        source="Nguyen et al., NeurIPS 2021; kip/ of google-research/google-research",
        hours="thousands on one data-centre GPU (estimate)",
        hardware="many accelerators",
        scale="paper",
    )


PRESETS: dict[str, Preset] = {
    "digits": _SMALL,
    "mnist": _MNIST,
    "cifar10_fc": _CIFAR10_FC,
    "mnist_ipc1_paper": _row("mnist", 1, 0.973, 0.901),
    "mnist_paper": _row("mnist", 10, 0.991, 0.975),
    "mnist_ipc50_paper": _row("mnist", 50, 0.995, 0.983),
    "fashion_ipc1_paper": _row("fashion", 1, 0.829, 0.735),
    "fashion_paper": _row("fashion", 10, 0.910, 0.868),
    "fashion_ipc50_paper": _row("fashion", 50, 0.924, 0.880),
    "svhn_ipc1_paper": _row("svhn", 1, 0.643, 0.573),
    "svhn_paper": _row("svhn", 10, 0.811, 0.750),
    "svhn_ipc50_paper": _row("svhn", 50, 0.843, 0.805),
    "cifar10_ipc1_paper": _row("cifar10", 1, 0.647, 0.499),
    "cifar10_paper": _row("cifar10", 10, 0.756, 0.627),
    "cifar10_ipc50_paper": _row("cifar10", 50, 0.806, 0.686),
    "cifar100_ipc1_paper": _row("cifar100", 1, 0.349, 0.157),
    "cifar100_paper": _row("cifar100", 10, 0.495, 0.283),
    "cifar10_zca_code": _row(
        *("cifar10", 10, 0.0, 0.6314),
        steps=1000,
        source="kip/nn_training.ipynb",
        learn_labels=False,
    ),
    "cifar10_convnet3_code": _row(
        *("cifar10", 50, 0.671, 0.0),
        source="kip/dataset.ipynb",
        kernel=WideKernel("ntk", Architecture("convnet3")),
        learn_labels=False,
        zca=False,
    ),
}

PRESETS = with_figures(
    PRESETS,
    digits=(unrecorded(0.971, "accuracy, krr ntk-fc-1"),),
    mnist=(measured("kip_mnist", 0.862, "accuracy, krr ntk-fc-2"),),
    cifar10_fc=(measured("kip_cifar10_fc", 0.467, "accuracy, krr ntk-fc-1"),),
)

# ReLU's kernel has a kink at an image with itself, which differences run into.
SMOKE = smoke(
    KipConfig,
    kernel=WideKernel("ntk", Fc(1), activation="erf"),
    learn_labels=True,
    batch=40,
    optimiser=Adam(1e-2),
)
