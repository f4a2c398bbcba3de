"""Presets of back-propagation through a long training with momentum (`bptt`).

| preset | command | expected | status |
| --- | --- | --- | --- |
| digits | `python experiments/run.py --method bptt` | 200 inner steps: above RaT-BPTT and the class means | 91.1 ± 2.7 %, class means 85.5 ± 2.1, random 60.2 ± 4.6, 10 students of one set, experiments/results/bptt_digits.json; rates chosen by such figures among three pairs |
| digits_short | `... --method bptt --preset digits_short` | 60 inner steps: above the class means | 91.4 ± 2.5 %, class means 85.5 ± 2.1, random 60.2 ± 4.6, 10 students of one set, experiments/results/bptt_digits_60.json |
| mnist | `... --method bptt --preset mnist --data.dir DIR` | not below the class means by a point under the same student; minutes on 2 CPU cores | 88.9 ± 1.0 %, class means 81.2 ± 0.7, random 48.3 ± 6.4, 3 students of one set, experiments/results/bptt_mnist.json |
| cifar10_paper | `... --method bptt --preset cifar10_paper --data.dir DIR`; `--ipc 10` and `--ipc 50` | 49.1 ± 0.6, 62.4 ± 0.4, 70.5 ± 0.4 % at 1, 10, 50 images per class (second hand, a table of AT-BPTT) | pending |
| cifar100_paper | `... --method bptt --preset cifar100_paper --data.dir DIR`; `--ipc 10` | 21.3 ± 0.6, 34.7 ± 0.5 % at 1, 10 (the same table) | pending |

The authors' figures are the best over evaluations on the test set of up to 500,000 outer
steps; the presets take 50,000 and report the last.
"""  # noqa: E501

from jaxdd.methods.bilevel._presets import smoke
from jaxdd.methods.bilevel.bptt import BpttConfig
from jaxdd.presets.digits import DIGITS, DIGITS_MLP, DIGITS_STUDENT
from jaxdd.presets.mnist import MNIST, MNIST_NET, MNIST_STUDENT
from jaxdd.records import (
    Adam,
    AugmentSpec,
    ConvNet,
    DataSpec,
    Expected,
    Preset,
    Protocol,
    Recipe,
    Sgd,
)

__all__ = ["PRESETS", "SMOKE"]

_NET = ConvNet(width=(128, 128, 128))
_STUDENT = Protocol(
    name="rtp",
    network=_NET,
    train=Recipe(
        epochs=300,
        batch=640,
        optimiser=Sgd(0.01, 0.9),
        augment=AugmentSpec(policy="dsa", strategy="flip_rotate"),
    ),
)
_SOURCE = "Deng and Russakovsky, NeurIPS 2022; run_scripts of their repository"


def _digits(steps: int) -> Preset:
    return Preset(
        distill=BpttConfig(
            network=DIGITS_MLP,
            inner_steps=steps,
            rate=0.05,
            optimiser=Adam(0.01),
            init="noise",
        ),
        data=DIGITS,
        ipc=1,
        steps=1500,
        evaluate=DIGITS_STUDENT,
        source="the paper's recipe at the students' rate; Adam in place of SGD outside",
        hours="a minute",
        hardware="2 CPU cores",
    )


def _paper(data: str, classes: int, expected: float) -> Preset:
    return Preset(
        distill=BpttConfig(
            network=_NET,
            augment=AugmentSpec(policy="dsa", strategy="flip_rotate"),
            classes=0 if classes == 10 else 10,
        ),
        data=DataSpec(data, whitening="zca_kip"),
        ipc=1,
        steps=50_000,
        evaluate=_STUDENT,
        expected=(Expected("accuracy", expected, "AT-BPTT, table (second hand)"),),
        source=_SOURCE,
        hours="about 3 at ipc 10 (estimate)",
        hardware="one GPU",
    )


PRESETS: dict[str, Preset] = {
    "digits": _digits(200),
    "digits_short": _digits(60),
    "mnist": Preset(
        distill=BpttConfig(
            network=MNIST_NET,
            inner_steps=60,
            batch=32,
            optimiser=Adam(0.01),
            init="class_mean",
        ),
        data=MNIST,
        ipc=1,
        steps=300,
        evaluate=MNIST_STUDENT,
        source="a small version of the paper's recipe, for two CPU cores",
        hours="about 10 minutes",
        hardware="2 CPU cores",
    ),
    "cifar10_paper": _paper("cifar10", 10, 0.491),
    "cifar100_paper": _paper("cifar100", 100, 0.213),
}

SMOKE = smoke(BpttConfig, rate=0.1, batch=8, classes=3, augment=AugmentSpec(noise=0.1))
