"""Work and speed of the graphs of a denoiser."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ros2_raxels.evaluation.machine.graph_work import matrix_flop


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
