"""evaluate_parts: which methods are asked for, and which examples are shown."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ros2_raxels.cli.evaluate_parts import _some_of, methods_of, picture_path, ratio_to_peer
from ros2_raxels.utils.files import FileError


def options(**changed: Any) -> argparse.Namespace:
    given = {"model": "none", "ablation": False, "curve": False, "peer": "both", "no_intrinsics": False}
    return argparse.Namespace(**(given | {"views_model": ""} | changed))


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({}, ["raxels", "opencv-both"]),
        ({"peer": "none"}, ["raxels"]),
        ({"ablation": True}, ["raxels", "opencv-both", "geometry alone"]),
    ],
)
def test_methods_are_those_that_are_asked_for(changed: dict[str, Any], names: Sequence[str]) -> None:
    assert [method.name for method in methods_of(options(**changed))] == names


def test_a_curve_needs_a_model() -> None:
    with pytest.raises(FileError, match="--curve needs a model; leave --model none out"):
        methods_of(options(curve=True))


def test_without_a_peer_there_is_no_ratio() -> None:
    assert ratio_to_peer(methods_of(options(peer="none"))) is None


@pytest.mark.parametrize(
    ("count", "shown"), [(0, []), (1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (7, [0, 2, 4]), (9, [0, 3, 6])]
)
def test_three_examples_are_spread_evenly(count: int, shown: list[int]) -> None:
    assert list(range(count))[_some_of(count)] == shown


def test_the_picture_of_a_set_stays_in_the_folder() -> None:
    source: Any = SimpleNamespace(name="a/b")
    assert picture_path(Path("out"), source) == Path("out/a_b.png")
