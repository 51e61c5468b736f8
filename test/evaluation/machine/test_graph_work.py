"""Work and speed of the graphs of a denoiser."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from ros_testing import be_slow

from ros2_raxels.engine import Arrays, TensorSpec
from ros2_raxels.evaluation.machine.graph_work import WatchedEngine, matrix_flop


def test_work_of_a_graph_is_counted_by_its_shapes(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT
    weight = helper.make_tensor("w", number, [5, 7], np.zeros(35, np.float32))
    nodes = [
        helper.make_node("MatMul", ["a", "w"], ["b"]),
        helper.make_node("Gemm", ["b", "c"], ["d"], transA=1),
        helper.make_node("Relu", ["d"], ["e"]),
    ]
    sides = {"a": [3, 5], "c": [3, 2], "e": [7, 2]}
    a, c, e = (helper.make_tensor_value_info(name, number, shape) for name, shape in sides.items())
    graph = helper.make_graph(nodes, "products", [a, c], [e], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path = tmp_path / "products.onnx"
    onnx.save(model, str(path))
    arrays = {"a": np.zeros((3, 5), np.float32), "c": np.zeros((3, 2), np.float32)}
    assert matrix_flop(path, arrays) == 2 * 3 * 5 * 7 + 2 * 7 * 3 * 2


class Slow:
    """An engine that takes 10 ms."""

    inputs, outputs = (TensorSpec("a", "float32", (1,)),), (TensorSpec("b", "float32", (1,)),)

    def run(self, arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
        be_slow(0.01)
        return {"b": arrays["a"] + 1}

    def warm_up(self, sides: Mapping[str, int]) -> None:
        self.warmed = dict(sides)

    def describe(self) -> str:
        return "slow"


def test_a_watched_engine_is_the_engine_and_remembers_input_and_time() -> None:
    slow = Slow()
    watched = WatchedEngine(slow)
    assert (watched.inputs, watched.outputs, watched.describe()) == (slow.inputs, slow.outputs, "slow")
    watched.warm_up({"n": 3})
    assert slow.warmed == {"n": 3}
    for number in (1.0, 2.0):
        np.testing.assert_array_equal(watched.run({"a": np.array([number], np.float32)})["b"], [number + 1])
    np.testing.assert_array_equal(watched.last["a"], [2.0])
    assert len(watched.seconds) == 2
    assert min(watched.seconds) >= 0.01
