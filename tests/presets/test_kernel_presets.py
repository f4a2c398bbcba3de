"""The presets of KIP, Label Solve and RFAD: every one builds; the authors' settings."""

import pytest

from jaxdd import methods, presets
from jaxdd.base import PerClass, Task, Uniform
from jaxdd.errors import InputError
from jaxdd.methods.kernel._presets import DATA, FC1
from jaxdd.methods.kernel.kip import KipConfig, kip
from jaxdd.methods.kernel.label_solve import LabelSolveConfig, label_solve
from jaxdd.methods.kernel.rfad import RfadConfig, rfad
from jaxdd.records import (
    AugmentSpec,
    ConvNet,
    KernelSpec,
)

SHAPES = {"digits": ((8, 8, 1), 10)} | {
    spec.name: (shape, classes) for spec, shape, classes in DATA.values()
}


@pytest.mark.parametrize("method", ["kip", "label_solve", "rfad"])
def test_all_presets_build(method):
    for name, preset in presets.get(method).items():
        shape, classes = SHAPES[preset.data.name]
        size = classes * preset.ipc
        task = Task(shape, classes, size, preset.ipc, preset.steps, 50_000)
        feed = methods.get(method).build(task, preset.distill).feed
        if isinstance(feed, PerClass):
            assert feed.batch * classes == preset.distill.batch, name
        if isinstance(feed, Uniform):
            assert feed.batch == preset.distill.batch, name
        assert preset.evaluate.kernels or method == "rfad"


def test_settings_of_the_notebook_and_of_rfads_program():
    demo = presets.pick("kip", "cifar10_fc")
    assert (demo.ipc, demo.steps, demo.distill.batch) == (10, 300, 5000)
    assert demo.distill.kernel == FC1
    assert demo.distill.optimiser.learning_rate == 4e-2
    assert demo.data.whitening == "standard"
    assert not demo.distill.learn_labels
    row = presets.pick("rfad", "cifar10_ipc1_paper")
    assert (row.evaluate.label_scale, row.evaluate.centred) == (8, True)
    assert row.evaluate.train.optimiser.learning_rate == 1e-3
    assert row.evaluate.ridge == row.distill.ridge == 5e-3
    assert row.data.whitening == "zca_rfad"
    assert presets.pick("rfad", "svhn_paper").data.whitening == "zca_rfad_l2"
    code = presets.pick("rfad", "cifar100_code").evaluate
    assert (code.label_scale, code.train.optimiser.learning_rate) == (1, 0.025)


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
            task, LabelSolveConfig(kernel=KernelSpec("conjugate"))
        ),
        r"distill\.members=0": lambda: rfad(task, RfadConfig(members=0)),
        r"norm='batch'": lambda: rfad(task, RfadConfig(network=ConvNet(norm="batch"))),
        r"distill\.loss='hinge'": lambda: rfad(task, RfadConfig(loss="hinge")),
    }
    for words, build in wrong.items():
        with pytest.raises(InputError, match=words):
            build()
