"""The shipped teachers learn representations worth imitating."""

import pytest

from jaxdd.data.load import load
from jaxdd.prepare import prepare
from jaxdd.presets import _teachers
from jaxdd.records import DataSpec, TeacherNeed


def test_digits_teacher_is_good():
    asset, report = prepare(TeacherNeed(_teachers.DIGITS), load(DataSpec("digits")))
    assert asset.table.shape == (1, 1347, 64)
    assert report["final_loss"] < 2.4
    assert report["knn"] > 0.96
    assert report["linear_probe"] > 0.96
    assert report["collapse"] > 0.4


@pytest.mark.slow
@pytest.mark.data
def test_mnist_teacher_is_good(data_dir):
    spec = DataSpec(
        "mnist", dir=data_dir, train_limit=6000, test_limit=2000, pool=2, pad=2
    )
    asset, report = prepare(TeacherNeed(_teachers.MNIST), load(spec))
    assert asset.table.shape == (1, 6000, 64)
    assert report["final_loss"] < 2.3
    assert report["knn"] > 0.92
    assert report["linear_probe"] > 0.93
    assert report["collapse"] > 0.4
