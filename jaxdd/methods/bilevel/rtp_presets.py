"""Presets of addressable memories (`rtp`): `ipc` is a budget of stored numbers.

The set decodes to many more images than pixels would give for the same bytes, and the
report's random row has as many real images as that: compare with methods of pixels by
the bytes of the ledger. Settings for other budgets than ipc 1 are not published.
"""

from jaxdd.methods.bilevel._presets import long_paper, smoke
from jaxdd.methods.bilevel.rtp import RtpConfig
from jaxdd.presets.digits import DIGITS_MLP, on_digits
from jaxdd.presets.figures import unrecorded, with_figures
from jaxdd.presets.mnist import MNIST_NET, on_mnist
from jaxdd.records import Adam, DataSpec, Expected, Preset

__all__ = ["PRESETS", "SMOKE"]


def _paper(data: str, accuracy: float) -> Preset:
    expected = Expected("accuracy", accuracy, "unverified")
    return long_paper(RtpConfig, DataSpec(data), expected, hours="about 6 (estimate)")


PRESETS: dict[str, Preset] = {
    "digits": on_digits(
        RtpConfig(
            network=DIGITS_MLP,
            bases=10,
            inner_steps=100,
            rate=0.05,
            optimiser=Adam(0.02),
        ),
        2000,
        source="a small version of the paper's recipe; Adam in place of SGD outside",
    ),
    "mnist": on_mnist(
        RtpConfig(
            network=MNIST_NET,
            inner_steps=30,
            inner_per_class=8,
            batch=32,
            optimiser=Adam(0.01),
        ),
        hours="about 20 minutes (estimate)",
    ),
    "cifar10_paper": _paper("cifar10", 0.664),
    "cifar100_paper": _paper("cifar100", 0.34),
}

PRESETS = with_figures(
    PRESETS,
    digits=(unrecorded(0.869, source="one student"),),
    cifar10_paper=(
        Expected("accuracy", 0.712, "unverified", note="ipc 10"),
        Expected("accuracy", 0.736, "unverified", note="ipc 50"),
    ),
    cifar100_paper=(Expected("accuracy", 0.429, "unverified", note="ipc 10"),),
)

SMOKE = smoke(RtpConfig, bases=4, inner_per_class=4, rate=0.1, batch=8)
