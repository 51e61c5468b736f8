"""engine.onnx_runtime: a small graph against arithmetic, and files, inputs and settings that are refused by name."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

from ros2_raxels.engine import EngineError, TensorSpec  # noqa: E402
from ros2_raxels.engine.onnx_runtime import OnnxRuntimeEngine  # noqa: E402


def write_graph(path: Path, kind: int = onnx.TensorProto.FLOAT) -> Path:
    """``y = a + b`` and ``z = a * b`` of shapes ("rows", 2)."""
    shape, helper = ("rows", 2), onnx.helper
    tensors = {name: helper.make_tensor_value_info(name, kind, shape) for name in "abyz"}
    nodes = [helper.make_node("Mul", ["a", "b"], ["z"]), helper.make_node("Add", ["a", "b"], ["y"])]
    graph = helper.make_graph(nodes, "small", [tensors["a"], tensors["b"]], [tensors["y"], tensors["z"]])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_graph(tmp_path_factory.mktemp("graph") / "small.onnx")


def floats(*values: list[float]) -> np.ndarray:
    return np.array(values, np.float32)


def test_outputs_are_those_of_the_graph_by_name(path: Path) -> None:
    engine = OnnxRuntimeEngine(path, threads=1)
    for rows in (1, 3):
        a, b = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2), np.full((rows, 2), 3.0, np.float32)
        found = engine.run({"b": b, "a": a})
        assert list(found) == ["y", "z"]
        np.testing.assert_array_equal(found["y"], a + 3.0)
        np.testing.assert_array_equal(found["z"], a * 3.0)


def test_an_engine_knows_its_tensors_and_describes_itself(path: Path) -> None:
    engine = OnnxRuntimeEngine(path, cuda=False)
    shape, kind = ("rows", 2), np.dtype(np.float32)
    assert engine.inputs == (TensorSpec("a", shape, kind), TensorSpec("b", shape, kind))
    assert engine.outputs == (TensorSpec("y", shape, kind), TensorSpec("z", shape, kind))
    assert engine.describe() == f"ONNX Runtime {onnxruntime.__version__} (CPU), small.onnx"


@pytest.mark.parametrize(("kind", "dtype"), [(onnx.TensorProto.FLOAT16, "float16"), (onnx.TensorProto.INT64, "int64")])
def test_half_precision_and_integers_are_served(tmp_path: Path, kind: int, dtype: str) -> None:
    engine = OnnxRuntimeEngine(write_graph(tmp_path / "small.onnx", kind), threads=1)
    found = engine.run({"a": np.full((1, 2), 3, dtype), "b": np.full((1, 2), 4, dtype)})
    assert found["z"].dtype == dtype
    np.testing.assert_array_equal(found["z"], [[12, 12]])


def test_a_graph_with_a_dtype_that_is_not_served_is_refused_by_tensor(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"a of the graph is tensor\(double\); it must be one of tensor\(float\), "):
        OnnxRuntimeEngine(write_graph(tmp_path / "small.onnx", onnx.TensorProto.DOUBLE))


def test_warming_up_needs_the_length_of_every_named_side(path: Path) -> None:
    engine = OnnxRuntimeEngine(path, threads=1)
    engine.warm_up({"rows": 2, "others": 3})
    with pytest.raises(EngineError, match=r"input a of shape \('rows', 2\): no length for \['rows'\], only {'frames'"):
        engine.warm_up({"frames": 3})


def test_inputs_that_do_not_fit_the_graph_or_each_other_are_refused(path: Path) -> None:
    engine, good = OnnxRuntimeEngine(path, threads=1), floats([1.0, 2.0])
    with pytest.raises(EngineError, match=r"input b is float32 of shape \(2, 2\); .* with {'rows': 1}"):
        engine.run({"a": good, "b": floats([1.0, 2.0], [3.0, 4.0])})
    with pytest.raises(EngineError, match="input a is float64"):
        engine.run({"a": np.ones((1, 2)), "b": good})
    with pytest.raises(EngineError, match=r"inputs missing: \['b'\]"):
        engine.run({"a": good})


def test_a_run_that_fails_names_engine_and_graph(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def run(self, *_: object) -> None:
            raise MemoryError("no room\n  for z")

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    engine = OnnxRuntimeEngine(path, threads=1)
    monkeypatch.setattr(engine, "_session", Session())
    with pytest.raises(EngineError, match=r"ONNX Runtime .* \(CPU\), small.onnx failed: no room for z; run `raxels"):
        engine.run({"a": floats([1.0, 2.0]), "b": floats([1.0, 2.0])})


def test_truncated_foreign_and_missing_files_are_refused_by_path(path: Path, tmp_path: Path) -> None:
    whole, broken = path.read_bytes(), tmp_path / "broken.onnx"
    for content in (whole[: len(whole) // 2], whole[:10], b"", b"no graph"):
        broken.write_bytes(content)
        with pytest.raises(EngineError, match=f"{broken} cannot be loaded .*; install the package again"):
            OnnxRuntimeEngine(broken)
    with pytest.raises(EngineError, match=r"gone.onnx cannot be loaded .*; install the package again"):
        OnnxRuntimeEngine(tmp_path / "gone.onnx")


def test_threads_that_are_no_number_are_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in ("two", "²"):
        monkeypatch.setenv("RAXELS_ENGINE_THREADS", number)
        with pytest.raises(EngineError, match=rf"RAXELS_ENGINE_THREADS = '{number}' must be a whole number"):
            OnnxRuntimeEngine(path)


@pytest.mark.parametrize(
    ("asked", "variable", "cores", "threads"), [(3, "2", 8, 3), (0, "2", 8, 2), (0, "", 8, 4), (0, "0", 2, 2)]
)
def test_threads_come_from_the_caller_the_environment_or_the_cores(
    path: Path, monkeypatch: pytest.MonkeyPatch, asked: int, variable: str, cores: int, threads: int
) -> None:
    monkeypatch.setenv("RAXELS_ENGINE_THREADS", variable)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)))
    session, used = onnxruntime.InferenceSession, []

    def recorded(model: str, options: object, **named: object) -> object:
        used.append(options.intra_op_num_threads)  # type: ignore[attr-defined]
        return session(model, options, **named)

    monkeypatch.setattr(onnxruntime, "InferenceSession", recorded)
    OnnxRuntimeEngine(path, asked)
    assert used == [threads]


def test_without_onnx_runtime_the_message_says_how_to_install_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match=r"ONNX Runtime cannot be imported .*; pip install onnxruntime"):
        OnnxRuntimeEngine(path)
