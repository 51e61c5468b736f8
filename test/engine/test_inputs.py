"""engine.inputs: inputs that do not fit a graph or each other are refused by name, and made-up ones fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from ros2_raxels.engine import EngineError, TensorSpec
from ros2_raxels.engine.inputs import check_inputs, made_up_inputs

Arrays = dict[str, npt.NDArray[np.float32]]

SPECS = (
    TensorSpec("seen", (1, "tracks", "frames"), np.dtype(np.float32)),
    TensorSpec("pixel", (1, "frames"), np.dtype(np.float32)),
)


def good() -> Arrays:
    return {"seen": np.zeros((1, 5, 3), np.float32), "pixel": np.zeros((1, 3), np.float32)}


def test_inputs_that_fit_are_accepted() -> None:
    check_inputs(SPECS, good())
    check_inputs(SPECS, {"seen": np.zeros((1, 0, 9), np.float32), "pixel": np.zeros((1, 9), np.float32)})


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("seen", np.zeros((1, 5, 3)), "input seen is float64 of shape (1, 5, 3); the graph takes float32"),
        ("seen", np.zeros((2, 5, 3), np.float32), "input seen is float32 of shape (2, 5, 3); the graph takes"),
        ("seen", np.zeros((1, 5), np.float32), "input seen is float32 of shape (1, 5); the graph takes"),
        (
            "pixel",
            np.zeros((1, 4), np.float32),
            "(1, 4); the graph takes float32 of shape (1, 'frames') with {'tracks': 5, 'frames': 3}",
        ),
        ("pixel", np.zeros((), np.float32), "input pixel is float32 of shape ()"),
    ],
)
def test_an_input_that_does_not_fit_is_named(name: str, array: npt.NDArray[Any], words: str) -> None:
    with pytest.raises(EngineError) as refused:
        check_inputs(SPECS, good() | {name: array})
    assert words in str(refused.value)


def test_missing_and_unknown_inputs_are_named() -> None:
    arrays = good()
    arrays["sean"] = arrays.pop("seen")
    with pytest.raises(EngineError) as refused:
        check_inputs(SPECS, arrays)
    assert "inputs missing: ['seen'], not known: ['sean']; give exactly ['pixel', 'seen']" in str(refused.value)
    with pytest.raises(EngineError, match="inputs missing: none, not known:"):
        check_inputs(SPECS, good() | {"more": np.zeros(1, np.float32)})


def test_made_up_inputs_fit_and_are_the_same_for_the_same_seed() -> None:
    specs = (*SPECS, TensorSpec("bytes", (2, "frames"), np.dtype(np.uint8)))
    sides = {"tracks": 50, "frames": 40}
    arrays = made_up_inputs(specs, sides, seed=3)
    check_inputs(specs, arrays)
    assert arrays["seen"].shape == (1, 50, 40)
    assert 0.9 < arrays["seen"].std() < 1.1
    assert arrays["bytes"].max() > 200
    for name, array in made_up_inputs(specs, sides, seed=3).items():
        np.testing.assert_array_equal(array, arrays[name])
    assert (made_up_inputs(specs, sides, seed=4)["seen"] != arrays["seen"]).any()
    with pytest.raises(EngineError, match=r"input seen of shape .*no length for \['tracks'\], only {'frames': 2}"):
        made_up_inputs(specs, {"frames": 2})
