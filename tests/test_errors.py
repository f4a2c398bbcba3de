"""Names that are nearly right, and values that no setting has."""

from dataclasses import dataclass, replace
from typing import Literal

import pytest

from jaxdd.errors import InputError, check_choices, check_numbers, nearest, one_of


@dataclass(frozen=True)
class Inner:
    pooling: Literal["average", "max"] = "max"


@dataclass(frozen=True)
class Outer:
    inner: Inner = Inner()
    several: tuple[Inner, ...] = (Inner(),)
    channels: Literal[1, 3] | None = None
    free: str | None = "anything"
    number: float = 0.5
    count: int | None = None


def test_the_most_similar_name_is_offered() -> None:
    known = {"vico": 1, "mtt": 2}
    assert nearest("vicco", known) == " Did you mean 'vico'?"
    assert nearest("resnet", known) == ""


def test_a_value_outside_is_refused_with_all_of_them_and_the_nearest() -> None:
    one_of("norm", "layer", ("group", "layer"))
    with pytest.raises(InputError) as error:
        one_of("norm", "leyer", {"group": 1, "layer": 2}, "Or none")
    assert str(error.value) == (
        "norm='leyer' is unknown. Did you mean 'layer'? Choose one of group, layer."
        " Or none"
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inner": Inner("avrage")}, r"x\.inner\.pooling='avrage'.*mean 'average'"),
        ({"several": (Inner(), Inner("min"))}, r"x\.several\.pooling='min'"),
        ({"channels": 2}, r"x\.channels=2 is unknown\. Choose one of 1, 3, None"),
    ],
)
def test_values_that_no_type_lists_are_refused_at_any_depth(change, message) -> None:
    check_choices(Outer(channels=3), "x")
    with pytest.raises(InputError, match=message):
        check_choices(replace(Outer(), **change), "x")


@pytest.mark.parametrize(
    ("kind", "bad", "allowed"),
    [
        ("counts", 0, "at least 1"),
        ("positive", 0.0, "positive"),
        ("positive", float("inf"), "positive"),
        ("not_negative", -1.0, "at least 0"),
        ("not_negative", float("nan"), "at least 0"),
        ("shares", 1.0, r"in \[0, 1\)"),
        ("probabilities", 1.5, r"in \[0, 1\]"),
    ],
)
def test_numbers_out_of_range_are_refused(kind, bad, allowed) -> None:
    check_numbers(Outer(number=1.0), not_negative=("number",), counts=("count",))
    fields = {kind: ("number",)}
    with pytest.raises(InputError, match=rf"x\.number={bad}: must be {allowed}"):
        check_numbers(Outer(number=bad), **fields, name="x")
