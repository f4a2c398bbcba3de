"""Records survive JSON and hash by content."""

import dataclasses
import json
from pathlib import Path

import pytest

from jaxdd.errors import InputError
from jaxdd.records import (
    ConvNet,
    DataSpec,
    Meta,
    Protocol,
    Recipe,
    Row,
    Teacher,
    Views,
    digest,
    from_dict,
    to_dict,
)


def test_round_trip_through_json() -> None:
    meta = Meta(
        method="dm",
        dataset="digits",
        dataset_hash="ab",
        image_shape=(8, 8, 1),
        num_classes=10,
        class_names=("0", "1"),
        label_kind="hard",
        protocol=Protocol(network=ConvNet(width=(16, 32), depth=None)),
        data=DataSpec(dir=Path("x/y")),
        teacher=Teacher(recipe=Recipe(steps=3)),
        rows=(Row("dm", "accuracy", 0.5, values=(0.4, 0.6)),),
    )
    text = json.dumps(to_dict(meta))
    assert from_dict(Meta, json.loads(text)) == meta


def test_unknown_field_is_named() -> None:
    with pytest.raises(InputError, match="Recipe has no field 'stepz'"):
        from_dict(Recipe, {"stepz": 3})


def test_digest_follows_every_field() -> None:
    base = Teacher()
    changed = dataclasses.replace(base, recipe=Recipe(steps=base.recipe.steps + 1))
    assert digest(base) == digest(Teacher())
    assert digest(base) != digest(changed)


@pytest.mark.parametrize(("views", "count"), [(Views(), 1), (Views(4, True), 162)])
def test_view_count(views: Views, count: int) -> None:
    assert views.count == count
