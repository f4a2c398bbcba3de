"""How students that train together are spread over devices."""

import pytest

from jaxdd.devices.students import student_group
from jaxdd.errors import InputError
from jaxdd.records import LoopConfig


@pytest.mark.parametrize(
    ("devices", "students", "size", "split"),
    [(1, 5, 1, False), (2, 5, 2, False), (8, 3, 3, False), (0, 16, 8, False)],
)
def test_students_are_spread_over_devices(
    devices: int, students: int, size: int, split: bool
) -> None:
    group = student_group(LoopConfig(student_devices=devices), students)
    assert group.size == size
    assert (group.split is not None) == split


def test_a_device_trains_as_many_as_asked() -> None:
    config = LoopConfig(student_devices=2, together=2)
    assert student_group(config, 9).size == 4
    assert student_group(LoopConfig(student_devices=1, together=3), 9).size == 3
    with pytest.raises(InputError, match="student_devices=9: there are 8"):
        student_group(LoopConfig(student_devices=9), 2)
    with pytest.raises(InputError, match="together=-1"):
        student_group(LoopConfig(together=-1), 2)
