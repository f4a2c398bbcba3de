"""Records of one kind among several: told apart, switched, and named by arguments."""

from dataclasses import dataclass, field
from typing import Literal

import pytest

from jaxdd.errors import InputError
from jaxdd.records import from_dict, kinds, switched, to_dict
from jaxdd.run.arguments import parse_as
from jaxdd.run.config import replaced
from jaxdd.run.kinds import with_kinds


@dataclass(frozen=True)
class Tall:
    name: Literal["tall"] = "tall"
    width: int = 2
    norm: Literal["batch", "layer"] = "batch"


@dataclass(frozen=True)
class Flat:
    name: Literal["flat", "flat_ap"] = "flat"
    tokens: bool = True
    norm: Literal["layer", "none"] = "layer"
    inside: "Tall | Flat" = Tall()
    width: int = 3


@dataclass(frozen=True)
class Settings:
    body: Tall | Flat = Tall()
    """What there is."""
    count: int = 1
    heads: dict = field(default_factory=dict)


def parsed(*arguments: str) -> Settings:
    return parse_as(Settings, arguments, default=Settings(), description="")


def test_kinds_are_told_apart_by_name() -> None:
    known = kinds(Tall | Flat)
    assert known == {"tall": Tall, "flat": Flat, "flat_ap": Flat}
    assert kinds(Tall | None) == {"tall": Tall}
    assert kinds(Tall) == kinds(int | None) == kinds(tuple[Tall, ...]) == {}
    for record in (Settings(Flat("flat_ap", width=4)), Settings(Tall(norm="layer"))):
        assert from_dict(Settings, to_dict(record)) == record
    with pytest.raises(InputError, match=r"choose one of tall.*Did you mean 'flat_ap'"):
        from_dict(Settings, {"body": {"name": "flat_pa"}})
    with pytest.raises(InputError, match="name=None: choose one of"):
        from_dict(Settings, {"body": {"width": 1}})
    with pytest.raises(InputError, match=r"Tall has no field 'widht'.*'width'"):
        from_dict(Settings, {"body": {"name": "tall", "widht": 1}})


def test_switching_keeps_what_both_have_and_allow() -> None:
    known = kinds(Tall | Flat)
    assert switched(Tall(width=7, norm="batch"), known, "flat") == Flat(width=7)
    assert switched(Tall(norm="layer"), known, "flat").norm == "layer"
    there = Flat(tokens=False)
    assert switched(there, known, "flat_ap") == Flat("flat_ap", tokens=False)


@pytest.mark.parametrize(
    "arguments",
    [
        "--body flat_ap --body.inside flat --body.inside.no-tokens --body.width 5",
        "--body.width 5 --body.inside.no-tokens --body.inside flat --body flat_ap",
        "--body.inside.name=flat --body=flat_ap --body.width=5 --body.inside.no-tokens",
        "--body tall --body.width 5 --body.inside.name flat --body.name flat_ap"
        " --body.inside.no-tokens",
    ],
)
def test_arguments_choose_kinds_in_any_order(arguments: str) -> None:
    got = parsed(*arguments.split(), "--count", "2")
    inside = Flat(tokens=False, width=2)
    assert got == Settings(Flat("flat_ap", inside=inside, width=5), count=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--body falt", "body='falt': choose one of tall, flat, flat_ap.*Did you mean"),
        ("--body.widht 3", "tall has no such option. Did you mean 'width'"),
        ("--body.tokens", r"tall has no such option. It belongs to flat.*--body NAME"),
        ("--body flat --body.inside.no-tokens", "--body.inside.no_tokens: tall has no"),
    ],
)
def test_arguments_of_other_kinds_are_refused(arguments: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        with_kinds(arguments.split(), Settings())


def test_help_shows_all_kinds_and_the_options_of_one(capsys) -> None:
    with pytest.raises(SystemExit):
        parsed("--body", "flat", "--help")
    shown = capsys.readouterr().out
    assert "--body.name {tall,flat,flat_ap}" in shown
    assert "--body.tokens" in shown
    assert "--body.inside.width" in shown
    assert "--body.inside.tokens" not in shown


def test_values_choose_kinds_by_name() -> None:
    wide = replaced(Settings(), ["body"], {"width": 4}, "body")
    assert wide == Settings(Tall(width=4))
    assert replaced(wide, ["body"], "flat", "body") == Settings(Flat(width=4))
    assert replaced(wide, ["body", "name"], "flat", "body.name").body == Flat(width=4)
    both = {"tokens": False, "name": "flat", "inside": {"name": "flat_ap"}}
    body = Flat(tokens=False, width=4, inside=Flat("flat_ap", width=2))
    assert replaced(wide, ["body"], both, "body").body == body
    with pytest.raises(InputError, match="body='falt': choose one of"):
        replaced(wide, ["body"], "falt", "body")
