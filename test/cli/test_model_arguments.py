"""cli.model_arguments: options that several commands share mean the same to each."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import pytest

from ros2_raxels.cli.model_arguments import add_model_argument, add_predictor_arguments

Add = Callable[[argparse.ArgumentParser], None]


def parser_with(add: Add) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="raxels")
    add(parser)
    return parser


@pytest.mark.parametrize("add", [add_model_argument, add_predictor_arguments])
@pytest.mark.parametrize(
    ("given", "model"), [([], ""), (["--model", "none"], "none"), (["--model=a/card.json"], "a/card.json")]
)
def test_without_a_card_the_shipped_model_is_meant(add: Add, given: list[str], model: str) -> None:
    assert parser_with(add).parse_args(given).model == model


def test_only_poses_can_do_without_a_model() -> None:
    assert "or none for geometry alone" in " ".join(parser_with(add_model_argument).format_help().split())
    assert "none" not in parser_with(add_predictor_arguments).format_help()


@pytest.mark.parametrize(("given", "seed"), [([], 0), (["--seed", "0"], 0), (["--seed", "17"], 17)])
def test_noise_has_a_seed(given: list[str], seed: int) -> None:
    assert parser_with(add_predictor_arguments).parse_args(given).seed == seed


@pytest.mark.parametrize("seed", ["-1", "2.5", "many"])
def test_a_seed_that_is_none_is_refused_by_value(seed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        parser_with(add_predictor_arguments).parse_args([f"--seed={seed}"])
    assert refused.value.code == 2
    assert f"argument --seed: '{seed}' must be a whole number of at least 0" in capsys.readouterr().err
