"""Presets of back-propagation through a long training with momentum (`bptt`).

The authors' figures are the best over evaluations on the test set of up to 500,000
outer steps; the presets take 50,000 and report the last. The rates of `digits` are the
best of three pairs by its own figures.
"""

from jaxdd.methods.bilevel._presets import long_paper, smoke
from jaxdd.methods.bilevel.bptt import BpttConfig
from jaxdd.presets.digits import DIGITS_MLP, on_digits
from jaxdd.presets.figures import measured, with_figures
from jaxdd.presets.mnist import MNIST_NET, on_mnist
from jaxdd.records import Adam, AugmentSpec, DataSpec, Expected, Preset

__all__ = ["PRESETS", "SMOKE"]


def _digits(inner_steps: int) -> Preset:
    return on_digits(
        BpttConfig(
            network=DIGITS_MLP,
            inner_steps=inner_steps,
            rate=0.05,
            optimiser=Adam(0.01),
            init="noise",
        ),
        1500,
        source="the paper's recipe at the students' rate; Adam in place of SGD outside",
    )


def _paper(data: str, accuracy: float) -> Preset:
    return long_paper(
        BpttConfig,
        DataSpec(data, whitening="zca_kip"),
        Expected("accuracy", accuracy, "AT-BPTT, table (second hand)"),
        hours="about 3 at ipc 10 (estimate)",
    )


PRESETS: dict[str, Preset] = {
    "digits": _digits(200),
    "digits_short": _digits(60),
    "mnist": on_mnist(
        BpttConfig(
            network=MNIST_NET,
            inner_steps=60,
            batch=32,
            optimiser=Adam(0.01),
            init="class_mean",
        ),
        hours="about 10 minutes",
    ),
    "cifar10_paper": _paper("cifar10", 0.491),
    "cifar100_paper": _paper("cifar100", 0.213),
}

PRESETS = with_figures(
    PRESETS,
    digits=(measured("bptt_digits", 0.911),),
    digits_short=(measured("bptt_digits_60", 0.914),),
    mnist=(measured("bptt_mnist", 0.889),),
    cifar10_paper=(
        Expected("accuracy", 0.624, "AT-BPTT, table (second hand)", note="ipc 10"),
        Expected("accuracy", 0.705, "AT-BPTT, table (second hand)", note="ipc 50"),
    ),
    cifar100_paper=(
        Expected("accuracy", 0.347, "AT-BPTT, table (second hand)", note="ipc 10"),
    ),
)

SMOKE = smoke(BpttConfig, rate=0.1, batch=8, classes=3, augment=AugmentSpec(noise=0.1))
