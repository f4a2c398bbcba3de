"""Settings that KIP, Label Solve and RFAD refuse."""

import pytest

from jaxdd.base import Task
from jaxdd.errors import InputError
from jaxdd.methods.kernel.kip import KipConfig, kip
from jaxdd.methods.kernel.label_solve import LabelSolveConfig, label_solve
from jaxdd.methods.kernel.rfad import RfadConfig, rfad
from jaxdd.records import (
    AugmentSpec,
    ConvNet,
    NetworkKernel,
)


def test_bad_settings_are_named():
    task = Task((8, 8, 1), 4, 4, 1, 10, 48)
    wrong = {
        r"distill\.batch=5001": lambda: kip(task, KipConfig(batch=5001)),
        r"ridge is 0": lambda: kip(task, KipConfig(ridge=0.0, batch=40)),
        r"distill\.augment_share=2": lambda: kip(
            task, KipConfig(batch=40, augment_share=2.0)
        ),
        r"distill\.augment\.mixup": lambda: kip(
            task, KipConfig(batch=40, augment=AugmentSpec(mixup=1.0))
        ),
        r"drawn at random": lambda: label_solve(
            task, LabelSolveConfig(kernel=NetworkKernel("conjugate"))
        ),
        r"distill\.members=0": lambda: rfad(task, RfadConfig(members=0)),
        r"norm='batch'": lambda: rfad(task, RfadConfig(network=ConvNet(norm="batch"))),
        r"distill\.loss='hinge'": lambda: rfad(task, RfadConfig(loss="hinge")),
    }
    for words, build in wrong.items():
        with pytest.raises(InputError, match=words):
            build()
