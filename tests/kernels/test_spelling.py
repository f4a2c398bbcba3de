"""Kernels in words, there and back."""

import pytest

from jaxdd.errors import InputError
from jaxdd.kernels.spelling import parse_kernel, spelled_kernel
from jaxdd.records import (
    Activation,
    Architecture,
    Conv,
    ConvNet,
    Fc,
    LinearKernel,
    NetworkKernel,
    Protocol,
    RandomFeatures,
    Regression,
    WideKernel,
    from_dict,
    to_dict,
)
from jaxdd.run import cli
from jaxdd.run.arguments import parse_as

WIDE = ConvNet(width=(256, 256), norm="none")
SPECS = {
    "linear": LinearKernel(),
    "ntk-fc-1": WideKernel(),
    "nngp-fc-3-erf": WideKernel("nngp", Fc(3), activation="erf"),
    "ntk-conv-2-global-w1-b0": WideKernel(
        "ntk", Conv(2, "global"), weight_std=1.0, bias_std=0.0
    ),
    "nngp-convnet3-neural_tangents": WideKernel(
        "nngp", Architecture("convnet3"), backend="neural_tangents"
    ),
    "conjugate-convnet-256-256-none": NetworkKernel("conjugate", WIDE),
    "random_features:8-convnet-256-256-none": RandomFeatures(WIDE, 8),
}


def test_names_and_kernels_are_one_to_one() -> None:
    for text, spec in SPECS.items():
        assert spelled_kernel(spec) == text
        assert parse_kernel(text) == spec


def test_unknown_words_are_refused() -> None:
    wrong = {
        "ntkk-fc": "Did you mean 'ntk'",
        "ntk-convnet4": "Did you mean 'convnet'",
        "linear-2": "'2' is not known",
        "ntk:3-fc": "':3' is not known",
        "random_features:x": "':x' is not known",
        "conjugate-mlp-16-nonee": "Did you mean 'none'",
    }
    for text, message in wrong.items():
        with pytest.raises(InputError, match=message):
            parse_kernel(text)


def test_command_line_takes_kernels_by_name(capsys) -> None:
    head = ["--method", "random", "--ipc", "1"]
    names = [name for name in SPECS if name != "ntk-fc-1"]
    config = cli.parse(
        [*head, "--kernels", *names, "--evaluate.regression.ridge", "1e-3"]
    )
    assert config.evaluate.regression.kernels == tuple(SPECS[name] for name in names)  # type: ignore
    assert config.evaluate.regression.ridge == 1e-3  # type: ignore
    assert cli.parse(head).evaluate.regression.kernels == ()  # type: ignore
    two = cli.parse([*head, "--protocol", "rfad"])  # whose two kernels are the default
    assert len(two.evaluate.regression.kernels) == 2  # type: ignore
    one = cli.parse([*head, "--protocol", "rfad", "--kernels", "linear"])
    assert one.evaluate.regression.kernels == (LinearKernel(),)  # type: ignore
    assert cli.main([*head, "--kernels", "ntk-fcc"]) == 2
    assert "Did you mean" in capsys.readouterr().err


def test_defaults_that_no_name_spells_are_kept() -> None:
    sigmoid = ConvNet(width=(8,), activation=Activation("sigmoid"))
    odd = (NetworkKernel("conjugate", sigmoid), LinearKernel())
    default = Protocol(regression=Regression(odd))
    kept = parse_as(Protocol, [], default=default, description="")
    assert kept.regression.kernels == odd
    asked = ["--regression.ridge", "0.5"]
    kept = parse_as(Protocol, asked, default=default, description="")
    assert kept.regression.kernels == odd


def test_kernels_of_a_protocol_come_back_from_json() -> None:
    asked = Protocol(regression=Regression(tuple(SPECS.values()), 5e-3, "rows"))
    assert from_dict(Protocol, to_dict(asked)) == asked
